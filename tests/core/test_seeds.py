from __future__ import annotations

import json
from datetime import datetime

import pytest

from wslpet.core.errors import SeedError
from wslpet.core.seeds import Seed


def test_a_seed_survives_json():
    seed = Seed("lung", (1.5, -2.0, 300.25), (3, 4, 5), "ann")
    assert Seed.from_dict(json.loads(json.dumps(seed.to_dict()))) == seed


def test_a_seed_is_stamped_in_utc():
    time = datetime.fromisoformat(Seed("lung", (0, 0, 0)).time)
    assert time.utcoffset().total_seconds() == 0
    assert Seed("lung", (0, 0, 0), time="2020-01-01T00:00:00+00:00").time == "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize("position", [(1, 2), (1, 2, 3, 4), (1, 2, float("nan")), (1, float("inf"), 3), "abc", None, 7])
def test_a_place_is_three_finite_numbers(position):
    with pytest.raises(SeedError, match=r"position .* is not three finite numbers"):
        Seed("lung", position)


def test_an_index_is_three_finite_numbers():
    with pytest.raises(SeedError, match="index"):
        Seed("lung", (1, 2, 3), (1, 2))


@pytest.mark.parametrize("cancer_type", ["", None, 3])
def test_a_type_is_a_name(cancer_type):
    with pytest.raises(SeedError, match="is not a name"):
        Seed(cancer_type, (1, 2, 3))


def test_a_record_without_its_parts_is_refused():
    with pytest.raises(SeedError, match="lacks \\['position'\\]"):
        Seed.from_dict({"cancer_type": "lung"})
