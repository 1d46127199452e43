from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wslpet.analysis.statistics import (
    auc,
    auc_interval,
    bootstrap,
    delong_p,
    folds,
    holm,
    icc,
    paired_p,
    rank_biserial,
    wilson,
)
from wslpet.core.errors import InputError

# Shrout & Fleiss 1979, table 2: six subjects, four judges.
SHROUT_FLEISS = np.array([(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)])


def scored(n: int, shift: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    return labels.astype(int), rng.normal(size=n) + shift * labels


def test_folds_keep_patients_together_and_strata_even():
    patients = [f"p{n // 2}" for n in range(60)]
    strata = [("lung" if n // 2 % 3 else "oesophagus", n // 2 % 2) for n in range(60)]
    found = folds(strata, patients, 5, seed=3)
    assert sorted(np.concatenate(found)) == list(range(60))
    for test in found:
        rest = np.setdiff1d(np.arange(60), test)
        assert not {patients[i] for i in test} & {patients[i] for i in rest}
        assert 2 <= sum(strata[i][0] == "oesophagus" for i in test) <= 6
    assert all(np.array_equal(a, b) for a, b in zip(found, folds(strata, patients, 5, seed=3), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(found, folds(strata, patients, 5, seed=4), strict=True))


def test_folds_do_not_depend_on_what_strata_are_called():
    patients = [f"p{n}" for n in range(20)]
    one, other = folds([n % 2 for n in range(20)], patients), folds(["ba"[n % 2] for n in range(20)], patients)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_too_few_patients_make_no_folds():
    with pytest.raises(InputError, match="4 patients do not make 5 folds"):
        folds(["a"] * 8, ["p1", "p2", "p3", "p4"] * 2)


def test_every_patient_of_a_stratum_of_one_is_tested():
    strata = ["common"] * 9 + ["rare"]
    assert sorted(np.concatenate(folds(strata, [str(n) for n in range(10)]))) == list(range(10))


def test_the_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = [(found := bootstrap(rng.normal(size=40), draws=400, seed=n)).low <= 0 <= found.high for n in range(200)]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_bootstrap_draws_rows_together():
    x = np.arange(30.0)
    found = bootstrap(x, x, statistic=lambda a, b: float(np.mean(a - b)))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_paired_p():
    rng = np.random.default_rng(2)
    base = rng.uniform(0.4, 0.9, 40)
    assert paired_p(base, base) == 1.0
    assert paired_p(base + rng.normal(0.05, 0.03, 40), base) < 1e-6
    assert paired_p(base + rng.normal(0, 0.03, 40), base) > 0.05


def test_auc_is_scikit_learns():
    labels, scores = scored(90, 0.8)
    scores = scores.round(1)  # ties
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(auc(np.ones(5), scores[:5]))


def test_delong_covers_the_truth_and_its_p_is_even_under_the_null():
    truth = 0.714  # Φ(0.8 / √2)
    found = [auc_interval(*scored(120, 0.8, seed)) for seed in range(200)]
    assert 0.90 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99
    ps = [
        delong_p(scored(90, 0.5, seed)[0], scored(90, 0.5, seed)[1], scored(90, 0.5, seed + 999)[1])
        for seed in range(200)
    ]
    assert 0.01 <= np.mean(np.array(ps) < 0.05) <= 0.10
    assert np.mean(ps) == pytest.approx(0.5, abs=0.08)


def test_delong_tells_a_better_score():
    labels, good = scored(200, 1.5)
    _, bad = scored(200, 0.0, seed=5)
    assert delong_p(labels, good, bad) < 0.001
    assert delong_p(labels, good, good) == 1.0


def test_icc_of_shrout_and_fleiss():
    assert icc(SHROUT_FLEISS) == pytest.approx(0.29, abs=0.005)
    assert icc(np.repeat(np.arange(6.0)[:, None], 3, axis=1)) == pytest.approx(1.0)
    assert np.isnan(icc(np.ones((4, 3))))


def test_wilson_as_tabulated():
    # Newcombe 1998, Stat Med 17:857, table I, method 3.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson(successes, trials)
        assert found.value == successes / trials
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(20, 20).low < 1.0
    for successes, trials in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(InputError, match=f"{successes} of {trials}"):
            wilson(successes, trials)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    # By hand: 0.01·4, 0.02·3, then 0.03·2 = 0.06 and 0.035·1, which is raised to 0.06.
    assert holm([0.03, 0.01, 0.035, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_rank_biserial_by_hand():
    # Differences 1, 2, −3: ranks 1 + 2 for the first, 3 against it.
    assert rank_biserial([1, 2, 0], [0, 0, 3]) == 0.0
    assert rank_biserial([1, 4, 0], [0, 0, 3]) == pytest.approx((1 + 3 - 2) / 6)
    assert rank_biserial([1, 2], [1, 2]) == 0.0
    assert rank_biserial([2, 3], [1, 1]) == 1.0 == -rank_biserial([1, 1], [2, 3])
