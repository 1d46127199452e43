"""Which patient next."""

import pytest


@pytest.mark.parametrize("strategy", ["first", "random", "uncertainty"])
def test_annotated_patients_are_not_served_again(trained_clinic, strategy):
    server = trained_clinic.server
    waiting = {name for name in trained_clinic.scans if not server.seeds(name)}
    for _ in range(5):
        sample = server.client().next_sample(strategy, {})
        assert sample["id"] in waiting
        assert not sample["seeds"]


def test_first_is_first_by_name(trained_clinic):
    waiting = sorted(name for name in trained_clinic.scans if not trained_clinic.server.seeds(name))
    assert trained_clinic.server.client().next_sample("first", {})["id"] == waiting[0]


def test_uncertainty_returns_the_confidence(trained_clinic):
    sample = trained_clinic.server.client().next_sample("uncertainty", {})
    assert 0 <= sample["uncertainty"] <= 1
