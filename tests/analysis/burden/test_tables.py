from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import replace

import pytest

from tests.analysis.burden.test_patient import lesions
from wslpet.analysis.burden.body import Body
from wslpet.analysis.burden.lesions import Origin
from wslpet.analysis.burden.tables import (
    LESION_COLUMNS,
    PATIENT_COLUMNS,
    PatientRecord,
    lesions_csv,
    patients_csv,
)
from wslpet.io.tables import parse_table, unguarded

WHEN = "2026-11-27T10:00:00.000+00:00"
FACTS = {"PatientID": "P1", "StudyDate": "20260105", "SeriesInstanceUID": "1.2.3", "SeriesDescription": "PET WB"}


def record(**changes):
    body = Body(80.0, 1.80, "M")
    found = lesions((5, 5, 5), (15, 5, 5), body=body)
    origin = Origin("lung", "wslpet", 1, "annotation", "Ann", WHEN)
    found = tuple(replace(lesion, origin=origin) for lesion in found)
    return replace(PatientRecord("1.2.3", FACTS, "measured", "", found, body, origin), **changes)


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_one_row_per_lesion():
    one, two = rows(lesions_csv([record()]))
    assert tuple(one) == LESION_COLUMNS
    assert (one["image"], one["PatientID"], one["StudyDate"]) == ("1.2.3", "P1", "20260105")
    assert (one["lesion"], two["lesion"], one["cancer_type"]) == ("1", "2", "lung")
    # Voxel (5, 5, 5) of 4 × 3 × 2 mm from (100, -300, 50): numbers keep their minus, no quote before it.
    assert (one["x_mm"], one["y_mm"], one["z_mm"]) == ("120.00", "-285.00", "60.00")
    assert (one["i"], one["j"], one["k"], one["voxels"]) == ("5.00", "5.00", "5.00", "1")
    assert (one["volume_ml"], one["suv_max"], one["tlg"]) == ("0.024", "2", "0.048")
    assert float(one["sul_max"]) == pytest.approx(2 * 61.7314 / 80, rel=1e-5)
    assert (one["source"], one["contour"], one["contour_step"]) == ("annotation", "wslpet", "1")
    assert (one["user"], one["time"]) == ("Ann", WHEN)


def test_one_row_per_patient():
    (row,) = rows(patients_csv([record()]))
    assert tuple(row) == PATIENT_COLUMNS
    assert (row["state"], row["lesions"], row["mtv_ml"], row["dmax_mm"]) == ("measured", "2", "0.048", "40")
    assert (row["weight_kg"], row["height_m"], row["sex"]) == ("80", "1.8", "M")
    assert float(row["lean_body_mass_kg"]) == pytest.approx(61.7314, rel=1e-5)


def test_unmeasured_values_are_empty_and_no_tumour_is_zero():
    said = Origin("no tumour", user="Ann", time=WHEN)
    content = patients_csv(
        [
            PatientRecord("a"),
            PatientRecord("b", state="no tumour", origin=said),
            PatientRecord("c", state="failed", reason="c.nii.gz is damaged; export it again"),
        ]
    )
    waiting, healthy, failed = rows(content)
    assert (waiting["state"], waiting["lesions"], waiting["mtv_ml"], waiting["user"]) == ("not annotated", "", "", "")
    assert (healthy["lesions"], healthy["mtv_ml"], healthy["suv_max"], healthy["dmax_mm"]) == ("0", "0", "", "")
    assert (healthy["cancer_type"], healthy["user"]) == ("no tumour", "Ann")
    assert (failed["lesions"], failed["reason"]) == ("", "c.nii.gz is damaged; export it again")
    assert lesions_csv([PatientRecord("a")]).decode().strip() == ",".join(LESION_COLUMNS)


def test_a_formula_stays_text():
    facts = {**FACTS, "PatientID": "=cmd|' /C calc'!A0", "SeriesDescription": "@SUM(A1)"}
    content = lesions_csv([record(image="-2+3", facts=facts, lesions=record().lesions[:1])])
    (row,) = rows(content)
    for name, said in (("image", "-2+3"), ("PatientID", facts["PatientID"]), ("SeriesDescription", "@SUM(A1)")):
        assert row[name] == f"'{said}"
        assert unguarded(row[name]) == said
    assert parse_table(content, "the table", ("image",), LESION_COLUMNS).rows


def test_a_byte_order_mark_is_written_for_letters_beyond_ascii():
    plain = lesions_csv([record()])
    assert plain.isascii()
    named = lesions_csv([record(facts={**FACTS, "PatientID": "Jörg"})])
    assert named.startswith(b"\xef\xbb\xbf")
    assert rows(named)[0]["PatientID"] == "Jörg"


def test_with_semicolons_numbers_have_decimal_commas_and_text_stays():
    one = record(image="1.5", facts={**FACTS, "SeriesDescription": "2.25"})
    for made, columns in ((lesions_csv, LESION_COLUMNS), (patients_csv, PATIENT_COLUMNS)):
        content = made([one], ";")
        assert content.startswith(codecs.BOM_UTF8)
        table, english = (
            parse_table(content, "t.csv", columns, columns),
            parse_table(made([one]), "t.csv", columns, columns),
        )
        assert (table.separator, english.separator) == (";", ",")
        for (_, row), (_, other) in zip(table.rows, english.rows, strict=True):
            for column, cell in row.items():
                if column in ("image", "SeriesDescription", "SeriesInstanceUID", "time"):
                    assert cell == other[column]
                elif "." in (other[column] or ""):
                    assert "." not in cell and table.number(cell) == float(other[column] or "")
        numbers = [column for column, cell in english.rows[0][1].items() if "." in (cell or "")]
        assert len(numbers) > 8


def test_a_record_survives_json():
    for one in (record(), PatientRecord("a"), PatientRecord("b", state="failed", reason="why")):
        assert PatientRecord.from_dict(json.loads(json.dumps(one.to_dict()))) == one
