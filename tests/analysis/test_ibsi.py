from __future__ import annotations

from pathlib import Path

import pytest

from wslpet.analysis.ibsi import compare, table

ROOT = Path(__file__).resolve().parents[2]
DEVIATES = {
    "suv_peak",
    "tlg",
    "firstorder_Kurtosis",
    "shape_LeastAxisLength",
    "shape_MinorAxisLength",
}


@pytest.fixture(scope="module")
def comparisons():
    return compare(ROOT / "tests" / "data" / "ibsi_1_digital_phantom")


def test_features_are_ibsis_but_for_those_that_are_named(comparisons):
    assert len(comparisons) == 107
    assert {one.feature.name for one in comparisons if not one.agrees} == DEVIATES
    assert all(one.feature.deviation for one in comparisons if not one.agrees)


def test_kurtosis_is_not_reduced_by_three(comparisons):
    kurtosis = next(one for one in comparisons if one.feature.name == "firstorder_Kurtosis")
    assert kurtosis.value - 3 == pytest.approx(kurtosis.reference, abs=5e-4)


def test_the_documented_table_is_this_one(comparisons):
    assert table(comparisons) in (ROOT / "docs" / "reference" / "radiomics.md").read_text(encoding="utf-8")
