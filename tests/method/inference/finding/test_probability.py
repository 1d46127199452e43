from __future__ import annotations

import json

import numpy as np
import pytest

from wslpet.core.errors import ModelError
from wslpet.method.inference.finding.candidates import FEATURES
from wslpet.method.inference.finding.probability import LesionProbability, load_lesion_probability
from wslpet.method.network.checkpoint import load_model

NAMES = ("map", "cam", "score")


def made() -> LesionProbability:
    weights, without_map = np.array([1.0, 0.5, 0.25, -2.0]), np.array([2.0, 1.0, -3.0])
    return LesionProbability(NAMES, weights, without_map, np.array([0.5, 1.0, 3.0]), (2.0, 1.0), "abc")


def test_the_log_odds_are_a_weighted_sum():
    rows = np.array([[2.0, -4.0, 8.0], [np.nan, 1.0, 2.0]])
    assert made().log_odds(rows, np.zeros(2, bool)) == pytest.approx([2 - 2 + 2 - 2, 2 + 2 - 3])
    assert made().log_odds(rows, np.ones(2, bool)) == pytest.approx([1 + 8 + 3, 0 + 2 + 3])
    assert made().of_patient(np.array([-1.0, 0.5])) == pytest.approx(1 / (1 + np.exp(-2)))


def test_a_file_is_read_as_it_was_written(tmp_path):
    made().save(tmp_path / "one.json", fitted_on="nothing")
    read = load_lesion_probability(NAMES, tmp_path / "one.json")
    rows = np.array([[0.3, -4.0, 8.0], [np.nan, 1.0, 2.0]])
    for sure in (np.zeros(2, bool), np.ones(2, bool)):
        assert read.log_odds(rows, sure) == pytest.approx(made().log_odds(rows, sure))
    assert (read.patient, read.model_version) == (made().patient, "abc")


@pytest.mark.parametrize("change", [{"features": ["map"]}, {"weights": [1, 2]}, {"patient": [1, float("nan")]}])
def test_a_file_of_other_features_is_refused(tmp_path, change):
    path = tmp_path / "one.json"
    made().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match="other features"):
        load_lesion_probability(NAMES, path)


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "two.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"two\.json cannot be read"):
        load_lesion_probability(NAMES, path)


def test_more_of_each_sign_of_a_lesion_is_more_probable():
    shipped = load_lesion_probability(FEATURES)
    assert (shipped.weights[:-1] > 0).all() and (shipped.without_map[:-1] > 0).all()
    assert (shipped.sure[:-1] > 0).all() and shipped.patient[0] > 0


def test_the_shipped_regressions_are_of_the_shipped_network():
    assert load_lesion_probability(FEATURES).model_version == load_model().version
