from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest, f_classif

from wslpet.analysis.outcome import fitted, out_of_fold, performance
from wslpet.analysis.statistics import auc, folds
from wslpet.core.errors import TrainingError

N, FEATURES = 60, 40


def noise(seed: int, features: int = FEATURES) -> np.ndarray:
    return np.random.default_rng([seed, 9]).normal(size=(N, features))


def outcomes_and_folds(seed: int):
    outcomes = np.random.default_rng([seed, 1]).permutation(np.arange(N) % 3 == 0).astype(int)
    return outcomes, folds(outcomes.tolist(), [str(n) for n in range(N)], 5, seed)


@pytest.mark.slow
def test_shuffled_outcomes_are_not_predicted():
    found, covered = [], []
    for seed in range(5):
        outcomes, parts = outcomes_and_folds(seed)
        area = performance(outcomes, out_of_fold(noise(seed), outcomes, parts), parts).pooled["auc"]
        found.append(area.value)
        covered.append(area.low <= 0.5 <= area.high)
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)
    assert np.mean(covered) >= 4 / 5


@pytest.mark.slow
def test_a_leak_is_detected():
    """The same with the features selected on all patients, which is what the folds are there to prevent."""
    found = []
    for seed in range(2):
        outcomes, parts = outcomes_and_folds(seed)
        leaked = SelectKBest(f_classif, k=8).fit_transform(noise(seed, 300), outcomes)
        found.append(auc(outcomes, out_of_fold(leaked, outcomes, parts)))
    assert min(found) > 0.7


@pytest.mark.slow
def test_a_true_effect_is_found_among_noise():
    outcomes, parts = outcomes_and_folds(0)
    features = noise(1, 43)
    features[:, 17] = np.exp(2 * outcomes + np.random.default_rng(3).normal(size=N))
    features[::7, 40] = np.nan
    features[:, 41], features[:, 42] = np.nan, 1.0
    found = performance(outcomes, out_of_fold(features, outcomes, parts), parts)
    assert found.pooled["auc"].value > 0.8 and found.fold_mean["auc"] > 0.8
    assert found.pooled["sensitivity"].value > 0.6 and found.pooled["specificity"].value > 0.6
    assert found.pooled["auc"].low < found.pooled["auc"].value < found.pooled["auc"].high


def test_a_rare_outcome_is_predicted_too():
    rng = np.random.default_rng(4)
    outcomes = (np.arange(120) % 10 == 0).astype(int)
    features = (outcomes + rng.normal(0, 0.7, 120))[:, None]
    parts = folds(outcomes.tolist(), [str(n) for n in range(120)])
    assert performance(outcomes, out_of_fold(features, outcomes, parts), parts).pooled["sensitivity"].value > 0.5


def test_performance_of_known_probabilities():
    outcomes, probabilities = np.array([1, 1, 0, 0, 0, 1]), np.array([0.9, 0.4, 0.2, 0.6, 0.1, 0.7])
    found = performance(outcomes, probabilities, [np.array([0, 1, 2]), np.array([3, 4, 5])])
    assert found.pooled["accuracy"].value == pytest.approx(4 / 6)
    assert found.pooled["sensitivity"].value == pytest.approx(2 / 3)
    assert found.pooled["specificity"].value == pytest.approx(2 / 3)
    assert found.pooled["auc"].value == pytest.approx(8 / 9)
    assert found.fold_mean["sensitivity"] == pytest.approx(0.75)


def test_too_few_of_an_outcome_are_refused():
    with pytest.raises(TrainingError, match="2 of 20 training patients have the rarer outcome; 3 are needed"):
        fitted(np.zeros((20, 2)), np.arange(20) < 2, np.arange(20))


def test_scans_of_one_patient_stay_together_in_the_inner_folds():
    """Each patient has four scans with one feature value: kept apart, the value would name the outcome."""
    patients = np.repeat(np.arange(24), 4)
    outcomes = (patients % 2).astype(int)
    inner = fitted(np.random.default_rng(0).normal(size=(96, 3)), outcomes, patients).cv
    for train, test in inner:
        assert not set(patients[train]) & set(patients[test])
        assert set(outcomes[test]) == {0, 1}
    assert sorted(np.concatenate([test for _, test in inner])) == list(range(96))


def test_few_patients_with_many_scans_are_few():
    patients = np.repeat(np.arange(10), 4)
    with pytest.raises(TrainingError, match="2 of 10 training patients have the rarer outcome"):
        fitted(np.zeros((40, 2)), patients < 2, patients)
