from __future__ import annotations

import csv
import math

import pytest

from wslpet.data.cohort_table import Row, read_table, write_table
from wslpet.core.seeds import NO_TUMOUR, Seed

TYPES = ("lung", "oesophagus")
HEADER = "name,scan,cancer_type,x,y,z,patient,mask,outcome,covariate_age"


@pytest.fixture
def folder(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz", "m.nii.gz"):
        (tmp_path / name).touch()
    return tmp_path


def table(folder, *lines: str):
    path = folder / "cohort.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


def test_a_written_table_is_read_back(folder, tmp_path_factory):
    a, b = folder / "a.nii.gz", folder / "b.nii.gz"
    rows = [
        Row(2, "one", a, Seed("lung", (-31.25, 7.5, 410.125)), "p1", folder / "m.nii.gz", 1, {"age": 61}),
        Row(3, "two", b, Seed("oesophagus", (0, 0, -8)), "p1", None, None, {"age": math.nan, "male": 1}),
        Row(4, "none", b, Seed(NO_TUMOUR, (0, 0, 0)), "p2"),
    ]
    place = tmp_path_factory.mktemp("elsewhere") / "cohort.csv"
    write_table(rows, place)
    found, problems = read_table(place, (*TYPES, NO_TUMOUR))
    assert problems == []
    for row, same in zip(rows, found, strict=True):
        assert (same.number, same.name, same.patient, same.outcome) == (row.number, row.name, row.patient, row.outcome)
        assert (same.seed.cancer_type, same.seed.position) == (row.seed.cancer_type, row.seed.position)
        assert same.scan.resolve() == row.scan and (same.mask and same.mask.resolve()) == row.mask
    assert found[0].covariates["age"] == 61 and math.isnan(found[1].covariates["age"])
    assert math.isnan(found[0].covariates["male"]) and found[1].covariates["male"] == 1


def test_the_columns_of_the_phantoms_suffice(folder):
    path = folder / "cohort.csv"
    path.write_text("name,scan,cancer_type,x,y,z,mask,arms\none,a.nii.gz,lung,1,2,3,m.nii.gz,up\n")
    (row,), problems = read_table(path, TYPES)
    assert problems == [] and row.patient == "one" and row.mask == folder / "m.nii.gz"
    assert row.outcome is None and row.covariates == {}


def test_every_bad_row_is_reported_with_its_number_and_remedy(folder):
    path = table(
        folder,
        "a,gone.nii.gz,lung,1,2,3,,,,",
        "b,b.nii.gz,lung,1,2,3,,,alive,",
        "c,b.nii.gz,lung,1,2,3,,,1,old",
        "d,b.nii.gz,lung,1,,3,,,1,",
        "e,b.nii.gz,lung,1,2,3,,,1,70",
    )
    rows, problems = read_table(path, TYPES)
    assert [row.name for row in rows] == ["e"]
    for number, text in [
        (2, "scan gone.nii.gz does not exist; correct the path"),
        (3, "outcome 'alive' is not 1 (good), 0 or empty"),
        (4, "covariate_age 'old' is not a number; write one"),
        (5, "seed '1,,3' is not three numbers"),
    ]:
        assert any(problem.startswith(f"row {number}: ") and text in problem for problem in problems), problems


def test_a_written_table_is_plain_csv(folder):
    write_table([Row(2, "one", folder / "a.nii.gz", Seed("lung", (1, 2, 3)))], folder / "cohort.csv")
    with open(folder / "cohort.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["scan"] == "a.nii.gz" and row["x"] == "1.000" and row["outcome"] == ""
