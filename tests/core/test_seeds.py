from __future__ import annotations

import json
from datetime import datetime

import pytest

from wslpet.core.errors import SeedError
from wslpet.core.seeds import BACKGROUND, NO_TUMOUR, Annotation, ContourChoice, Seed, annotation_of


def test_a_seed_is_restored_from_its_json():
    seed = Seed("lung", (1.5, -2.0, 300.25), (3, 4, 5), "ann")
    assert Seed.from_dict(json.loads(json.dumps(seed.to_dict()))) == seed


def test_the_default_time_of_a_seed_is_now_in_utc():
    time = datetime.fromisoformat(Seed("lung", (0, 0, 0)).time)
    assert time.utcoffset().total_seconds() == 0
    assert Seed("lung", (0, 0, 0), time="2020-01-01T00:00:00+00:00").time == "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize("position", [(1, 2), (1, 2, 3, 4), (1, 2, float("nan")), (1, float("inf"), 3), "abc", None, 7])
def test_a_position_that_is_not_three_finite_numbers_is_refused(position):
    with pytest.raises(SeedError, match=r"position .* is not three finite numbers"):
        Seed("lung", position)


def test_an_index_that_is_not_three_numbers_is_refused():
    with pytest.raises(SeedError, match="index"):
        Seed("lung", (1, 2, 3), (1, 2))


@pytest.mark.parametrize("cancer_type", ["", None, 3])
def test_a_cancer_type_that_is_not_a_name_is_refused(cancer_type):
    with pytest.raises(SeedError, match="is not a name"):
        Seed(cancer_type, (1, 2, 3))


def test_a_seed_record_without_position_is_refused():
    with pytest.raises(SeedError, match="lacks \\['position'\\]"):
        Seed.from_dict({"cancer_type": "lung"})


def seed(n: int, cancer_type: str = "lung", **more) -> Seed:
    return Seed(cancer_type, (n, n + 0.5, -n), (n, n, n), "ann", f"2026-01-0{n}T00:00:00+00:00", **more)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotation((seed(1),)),
        Annotation((seed(1, id="one"),)),
        Annotation((seed(1), seed(2, contour=ContourChoice("41%", -2))), user="bob", time="now", id="two"),
        Annotation((seed(1, contour=ContourChoice("SUV2.5")),), (seed(3, BACKGROUND), seed(4, BACKGROUND))),
        Annotation((seed(1),), user="bob", time="later"),
    ],
)
def test_an_annotation_is_restored_from_its_json(annotation):
    assert Annotation.from_dict(json.loads(json.dumps(annotation.to_dict()))) == annotation


def test_an_annotation_of_one_seed_has_the_same_record_as_the_seed():
    assert list(annotation_of(seed(1)).to_dict()) == ["cancer_type", "position", "index", "user", "time"]
    assert annotation_of(seed(1)).to_dict() == seed(1).to_dict()


def test_the_first_seed_is_the_primary_and_background_is_apart():
    annotation = annotation_of([seed(2), seed(3, BACKGROUND), seed(1)])
    assert annotation.primary == seed(2) and annotation.background == (seed(3, BACKGROUND),)
    assert (annotation.position, annotation.time) == (seed(2).position, seed(2).time)


@pytest.mark.parametrize(
    ("seeds", "background"),
    [
        ((), ()),
        ((seed(1), seed(2, "oesophagus")), ()),
        ((seed(1, BACKGROUND),), ()),
        ((seed(1, NO_TUMOUR), seed(2, NO_TUMOUR)), ()),
        ((seed(1, NO_TUMOUR),), (seed(2, BACKGROUND),)),
        ((seed(1),), (seed(2),)),
    ],
)
def test_an_annotation_without_seeds_or_with_several_types_is_refused(seeds, background):
    with pytest.raises(SeedError, match=r"annotation|background"):
        Annotation(seeds, background)


@pytest.mark.parametrize("spelt", ["41 %", "41%", " 41 % "])
def test_blanks_and_upper_case_in_a_contour_method_are_ignored(spelt):
    assert ContourChoice(spelt) == ContourChoice("41 %", 0)
    assert ContourChoice("suv 2.5").method == ContourChoice("SUV2.5").method == "SUV 2.5"


@pytest.mark.parametrize("choice", [("39%", 0), ("", 0), ("ours", 1.5), ("ours", True), ("ours", 21)])
def test_an_unknown_contour_method_or_step_is_refused(choice):
    with pytest.raises(SeedError, match="contour"):
        ContourChoice(*choice)
