"""Formulas in CSV cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wslpet.io.csv_cells import guarded, unguarded


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_formulas_become_text(text):
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "lung", "O'Neill", "'quoted'", "a=b", "2026-11-26T10:00:00.000+00:00"])
def test_other_text_stays(text):
    assert guarded(text) == unguarded(text) == text


@given(st.text(alphabet="'=+-@\t\ra1", max_size=6))
def test_what_goes_out_comes_in_again(text):
    assert unguarded(guarded(text)) == text
