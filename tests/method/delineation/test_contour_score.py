import numpy as np
import pytest

from wslpet.core.errors import ModelError
from wslpet.data.pretraining import contours
from wslpet.data.pretraining.contours import achieved, fit
from wslpet.data.pretraining.weights import FIRST_SEED
from wslpet.method.delineation import contour_score
from wslpet.method.delineation.contour_score import load_contour_score
from wslpet.method.delineation.features import FEATURES


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


@pytest.mark.parametrize("preset", FIRST_SEED)
def test_it_is_fitted_on_phantoms_of_the_presets_own_seeds(preset, tmp_path, monkeypatch):
    drawn = []

    class Alone:
        """The pool, in this process."""

        def __init__(self, workers):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *raised):
            pass

        def map(self, function, seeds, *presets, chunksize=1):
            drawn.extend((seed, *preset) for seed, *preset in zip(seeds, *presets, strict=True))
            rng = np.random.default_rng(0)
            return [[(rng.normal(size=(3, len(FEATURES))), rng.random(3))] * 2 for _ in seeds]

    monkeypatch.setattr(contours, "ProcessPoolExecutor", Alone)
    out = str(tmp_path / "score.json")
    monkeypatch.setattr(
        "sys.argv", ["contour_fit", "--preset", preset, "--patients", "5", "--scenes", "2", "--out", out]
    )
    contours.main()
    first = FIRST_SEED[preset]
    assert drawn == [*((first + n,) for n in range(2)), *((first + n, preset) for n in range(5))]
    assert preset in (tmp_path / "score.json").read_text()


def test_it_is_not_fitted_on_what_is_measured_on(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["contour_fit", "--preset", "hard"])
    with pytest.raises(SystemExit):
        contours.main()
    assert "hard" in capsys.readouterr().err
