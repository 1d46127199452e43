import numpy as np
import pytest

from wslpet.core.errors import ModelError
from wslpet.data.pretraining.contours import achieved, fit
from wslpet.method.delineation import contour_score
from wslpet.method.delineation.contour_score import load_contour_score
from wslpet.method.delineation.contours import FEATURES


def test_fitting_learns_to_choose_the_better_contours():
    rng = np.random.default_rng(3)
    groups = []
    for _ in range(60):
        features = rng.normal(size=(12, len(FEATURES)))
        groups.append((features, 1 / (1 + np.exp(features[:, 0] - features[:, 2]))))
    chosen, best = achieved(fit(groups[:40], epochs=60), groups[40:])
    chance = np.mean([dice.mean() for _, dice in groups[40:]])
    assert chosen > chance + 0.8 * (best - chance)


def test_the_shipped_score_is_of_the_features_that_are_measured():
    assert load_contour_score(FEATURES)(np.zeros((3, len(FEATURES)))).shape == (3,)
    with pytest.raises(ModelError, match="other features"):
        load_contour_score((*FEATURES, "colour"))


def test_a_saved_score_scores_alike(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    shipped, features = load_contour_score(FEATURES), rng.normal(size=(5, len(FEATURES)))
    shipped.save(tmp_path / "score.json", fitted_on="a test")
    monkeypatch.setattr(contour_score, "FILE", tmp_path / "score.json")
    again = load_contour_score.__wrapped__(FEATURES)
    assert again(features) == pytest.approx(shipped(features), abs=1e-3)
