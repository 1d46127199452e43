"""The verdict on new weights: how often it is wrong, and what it sees."""

from __future__ import annotations

import numpy as np
import pytest

from wslpet.method.training.judging import LEVEL, Answer, Judged, verdict_of

TRIALS = 2000


def scores(rng: np.random.Generator, shape: tuple[int, ...], found: float, right: float) -> np.ndarray:
    """(…,) of lesions found and types right, each 0 or 1: their mean."""
    return (np.less(rng.random(shape), found) + 1.0 * np.less(rng.random(shape), right)) / 2


@pytest.mark.parametrize("patients", [5, 8, 12, 30])
def test_a_training_that_changes_nothing_is_seldom_called_better_or_worse(patients):
    rng = np.random.default_rng(patients)
    verdicts = [
        verdict_of(scores(rng, (patients,), 0.7, 0.8) - scores(rng, (patients,), 0.7, 0.8))[0] for _ in range(TRIALS)
    ]
    most = TRIALS * LEVEL + 3 * np.sqrt(TRIALS * LEVEL * (1 - LEVEL))  # three standard errors
    assert verdicts.count("better") <= most
    assert verdicts.count("worse") <= most


def chosen_and_judged(rng: np.random.Generator, apart: bool) -> str:
    """The verdict on the best of 30 epochs, none better than what is in use; judged apart, or where it was chosen."""
    before = scores(rng, (12,), 0.7, 0.8)
    epochs = scores(rng, (30, 12), 0.7, 0.8)
    best = epochs.mean(axis=1).argmax()
    after = scores(rng, (12,), 0.7, 0.8) if apart else epochs[best]
    return verdict_of(after - before)[0]


def test_the_epoch_is_chosen_on_others_than_those_who_judge():
    rng = np.random.default_rng(0)
    apart, same = (
        sum(chosen_and_judged(rng, apart) == "better" for _ in range(TRIALS)) / TRIALS for apart in (True, False)
    )
    assert apart <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / TRIALS)
    assert same > 0.12  # what the test must tell apart


def test_what_is_much_better_is_called_better():
    rng = np.random.default_rng(1)
    verdicts = [verdict_of(scores(rng, (12,), 0.95, 0.95) - scores(rng, (12,), 0.3, 0.5))[0] for _ in range(100)]
    assert verdicts.count("better") >= 90
    assert verdicts.count("worse") == 0


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([0.5] * 5, "better"),
        ([-0.5] * 5, "worse"),
        ([1.0] * 4, "cannot tell"),
        ([1.0] * 4 + [0.0] * 20, "cannot tell"),
        ([0.0] * 20, "cannot tell"),
        ([0.5, -0.5] * 10, "cannot tell"),
        ([0.5] * 5 + [np.nan], "cannot tell"),
        ([], "cannot tell"),
    ],
)
def test_the_verdict(gains, said):
    assert verdict_of(np.array(gains))[0] == said


def test_p_values_of_five_who_agree():
    _, better, worse = verdict_of(np.full(5, 0.5))
    assert better == pytest.approx(1 / 32)
    assert worse == pytest.approx(1)


def test_the_score_is_of_lesions_and_types():
    found, missed = Answer(True, "lung", 3.0), Answer(False, "oesophagus", 90.0)
    assert Judged("p", "lung", missed, found).gain() == 1
    assert Judged("p", "oesophagus", missed, found).gain() == 0
    nothing = Judged("p", "no tumour", Answer(None, "lung", None), Answer(None, "no tumour", None))
    assert nothing.gain() == 1
