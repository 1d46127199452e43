from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wslpet.data.cohort_table import read_table
from wslpet.data.phantom import PRESETS, CohortSettings, Scanner, write_cohort
from wslpet.data.phantom.disease.outcome import draw_outcome

PLAIN = PRESETS["plain"]


def drawn(n: int = 4000):
    rng = np.random.default_rng(5)
    ml, heterogeneity = np.exp(rng.normal(3, 0.9, n)), rng.uniform(*PLAIN.heterogeneity, n)
    outcomes = [draw_outcome(seed, *pair, PLAIN) for seed, pair in enumerate(zip(ml, heterogeneity, strict=True))]
    return ml, heterogeneity, np.array([o.good for o in outcomes]), np.array([o.probability for o in outcomes])


def test_large_and_patchy_tumours_do_worse_and_chance_has_a_part():
    ml, heterogeneity, good, probability = drawn()
    assert good.mean() == pytest.approx(0.5, abs=0.05)
    assert 0.70 < roc_auc_score(good, -ml) < 0.85
    assert 0.58 < roc_auc_score(good, -heterogeneity) < 0.72
    assert roc_auc_score(good, -ml) < roc_auc_score(good, probability) < 0.92
    chosen = probability > 0.8
    assert good[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=0.03)


def test_the_same_patient_has_the_same_outcome():
    assert draw_outcome(7, 20.0, 0.1, PLAIN) == draw_outcome(7, 20.0, 0.1, PLAIN)
    assert draw_outcome(7, 20.0, 0.1, PLAIN) != draw_outcome(8, 20.0, 0.1, PLAIN)


def test_a_cohort_has_outcomes_but_for_patients_without_a_tumour(tmp_path):
    scanner = ((Scanner("coarse", (8.0, 8.0, 6.0)), 1.0),)
    settings = CohortSettings(scanners=scanner, fields=(("thorax", 1.0),), no_tumour_fraction=0.5)
    write_cohort(tmp_path / "scans", 6, 3, settings)
    table = tmp_path / "scans-truth" / "cohort.csv"
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] == "" for row in rows if row["cancer_type"] == "no tumour"} == {True}
    tumours = [row for row in rows if row["cancer_type"] != "no tumour"]
    for row in tumours:
        again = draw_outcome(int(row["seed"]), float(row["volume_ml"]), float(row["heterogeneity"]), settings)
        assert float(row["outcome_probability"]) == pytest.approx(again.probability, abs=1e-3)
    found, problems = read_table(table, ("lung", "oesophagus", "no tumour"))
    assert problems == [] and {row.outcome for row in found} <= {0, 1, None} and len(tumours) >= 1
