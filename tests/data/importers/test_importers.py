from __future__ import annotations

import re
import json
import shutil

import numpy as np
import pydicom
import pytest

from wslpet.cli.main import main
from wslpet.data.cohort_table import read_table, write_table
from wslpet.core.volume import resample_labels
from wslpet.io.dicom.derived.segmentation import Maker
from wslpet.io.dicom.derived.segmentation_writing import write_segmentation
from wslpet.core.errors import InputError
from wslpet.data.importers import IMPORTERS, Options
from wslpet.data.importers.common import click_in, number
from wslpet.data.phantom import write_series
from wslpet.data.phantom.cohort import save_mask, save_scan
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.io.dicom.series import read_series
from wslpet.core.volume import Volume
from tests.helpers.blobs import ellipsoid, empty, scan, stored_as
from tests.helpers.dicom_series import real_data

CENTRE, RADII = (38.0, 61.0, 92.0), (14.0, 11.0, 17.0)
TYPES = ("lung", "melanoma", "lymphoma", "head and neck", NO_TUMOUR)


def patient(shape=(24, 26, 30), spacing=(5.0, 4.0, 6.0)) -> tuple[Volume, Volume]:
    grid = empty(shape, spacing, (-12.0, 9.0, 4.0))
    inside = ellipsoid(grid, CENTRE, RADII)
    return scan(grid, [(CENTRE, RADII, 8.0)]), grid.with_array(inside.astype(np.uint8), "label")


def in_lesion(position, margin: float = 1.05) -> bool:
    return (((np.array(position) - CENTRE) / RADII) ** 2).sum() <= margin**2


def again(found, folder):
    """The rows as they come back from the table."""
    write_table(found.rows, folder / "cohort.csv")
    rows, problems = read_table(folder / "cohort.csv", TYPES)
    assert problems == []
    return {row.name: row for row in rows}


@pytest.mark.parametrize("jitter_mm", [0.0, 4.0, 60.0])
def test_a_drawn_click_misses_the_centre_but_not_the_lesion(jitter_mm):
    _, mask = patient()
    stored = stored_as(mask, (2, 0, 1), (True, False, True))
    clicks = [click_in(stored, f"patient {n}", jitter_mm) for n in range(40)]
    assert all(in_lesion(click) for click in clicks)
    assert clicks[3] == click_in(stored, "patient 3", jitter_mm)
    away = np.linalg.norm(np.array(clicks) - CENTRE, axis=1)
    assert (away < 4).all() if jitter_mm == 0 else away.mean() > 3


def test_a_click_is_drawn_in_the_largest_lesion():
    _, mask = patient()
    mask.array[1:3, 1:3, 1:3] = 1
    assert in_lesion(click_in(mask, "anyone", 0.0))


def write_autopet(folder):
    volume, mask = patient()
    nothing = mask.with_array(np.zeros_like(mask.array))
    for subject, study, label in [
        ("PETCT_0011f3deaf", "03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-54651", mask),
        ("PETCT_0011f3deaf", "09-01-2004-NA-PET-CT Ganzkoerper  primaer mit KM-11111", nothing),
        ("PETCT_01140d52d8", "08-13-2005-NA-PET-CT Ganzkoerper  primaer mit KM-56839", mask),
    ]:
        home = folder / "FDG-PET-CT-Lesions" / subject / study
        home.mkdir(parents=True)
        save_scan(volume, home / "SUV.nii.gz")
        save_mask(label, home / "SEG.nii.gz")
    path = "./FDG-PET-CT-Lesions/PETCT_0011f3deaf"
    (folder / "Clinical Metadata FDG PET_CT Lesions.csv").write_text(
        "Series UID,Subject ID,Modality,File Location,diagnosis,age,sex\n"
        f"1,PETCT_0011f3deaf,PT,{path}/03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-54651/3.0,LUNG_CANCER,062Y,M\n"
        f"2,PETCT_0011f3deaf,CT,{path}/03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-54651/4.0,LUNG_CANCER,062Y,M\n"
        f"3,PETCT_0011f3deaf,PT,{path}/09-01-2004-NA-PET-CT Ganzkoerper  primaer mit KM-11111/3.0,NEGATIVE,063Y,M\n"
        "4,PETCT_01140d52d8,PT,,MELANOMA,045Y,F\n"
    )
    return folder


def test_autopet(tmp_path):
    found = IMPORTERS["autopet"](write_autopet(tmp_path), Options())
    assert found.problems == []
    rows = list(again(found, tmp_path).values())
    assert [row.seed.cancer_type for row in rows] == ["lung", NO_TUMOUR, "melanoma"]
    assert rows[0].patient == rows[1].patient == "PETCT_0011f3deaf" != rows[2].patient
    assert in_lesion(rows[0].seed.position) and in_lesion(rows[2].seed.position)
    assert rows[0].covariates == {"age": 62, "male": 1} and rows[2].covariates == {"age": 45, "male": 0}
    assert read_volume(rows[0].scan).array.max() > 6 and read_mask(rows[0].mask).array.any()


def test_metadata_that_excel_saved_with_semicolons_are_read(tmp_path):
    folder = write_autopet(tmp_path)
    (table,) = folder.glob("*.csv")
    table.write_bytes(table.read_text().replace(",", ";").replace("062Y", "62,5").encode("utf-8-sig"))
    rows = IMPORTERS["autopet"](folder, Options()).rows
    assert rows[0].covariates == {"age": 62.5, "male": 1}


def test_autopet_reports_all_problems_at_once(tmp_path):
    write_autopet(tmp_path)
    table = tmp_path / "Clinical Metadata FDG PET_CT Lesions.csv"
    text = table.read_text().replace("NEGATIVE", "LUNG_CANCER").replace("MELANOMA", "SARCOMA")
    table.write_text(text)
    found = IMPORTERS["autopet"](tmp_path, Options())
    assert len(found.rows) == 1
    assert any("is empty; outline the tumour" in problem for problem in found.problems)
    assert any("row 5 of" in problem and "diagnosis 'SARCOMA' is none of" in problem for problem in found.problems)
    table.write_text("Subject ID,age\n")
    with pytest.raises(InputError, match="'Subject ID' and 'diagnosis'"):
        IMPORTERS["autopet"](tmp_path, Options())
    with pytest.raises(InputError, match=r"lungs holds no SUV\.nii\.gz|has the columns"):
        IMPORTERS["autopet"](tmp_path / "lungs", Options())


def test_hecktor(tmp_path):
    volume, _ = patient()
    fine = empty((48, 52, 60), (2.5, 2.0, 3.0), (-13.25, 8.0, 2.5))  # the CT's grid
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name in ("CHUM-001", "CHUM-002", "CHUM-003", "CHUM-004"):
        save_scan(volume, tmp_path / "imagesTr" / f"{name}__PT.nii.gz")
        labels = ellipsoid(fine, CENTRE, RADII) + 2 * ellipsoid(fine, (80.0, 20.0, 30.0), (20.0, 16.0, 20.0))
        save_mask(fine.with_array(labels.astype(np.uint8)), tmp_path / "labelsTr" / f"{name}.nii.gz")
    (tmp_path / "hecktor2022_clinical_info_training.csv").write_text(
        'PatientID,Task 1,Gender,Age,Weight,"HPV status (0=-, 1=+)"\nCHUM-001,1,M,63,82,1\nCHUM-002,1,F,55,,\n'
    )
    (tmp_path / "hecktor2022_endpoint_training.csv").write_text(
        "PatientID,Relapse,RFS\nCHUM-001,0,1704\nCHUM-002,1,300\nCHUM-003,0,500\nCHUM-004,x,1\n"
    )
    found = IMPORTERS["hecktor"](tmp_path, Options())
    assert len(found.problems) == 1 and "row 5 of the endpoints: Relapse 'x'" in found.problems[0]
    rows = again(found, tmp_path)
    assert [row.outcome for row in rows.values()] == [1, 0, None]
    assert rows["CHUM-001"].covariates == {"age": 63, "weight_kg": 82, "hpv": 1, "male": 1}
    assert np.isnan(rows["CHUM-002"].covariates["weight_kg"])
    assert all(in_lesion(row.seed.position) for row in rows.values())  # the primary, not the larger node
    assert {row.seed.cancer_type for row in rows.values()} == {"head and neck"}


def test_a_datastore_of_the_server(tmp_path):
    volume, mask = patient()
    (tmp_path / ".wslpet" / "series" / "1.2.3").mkdir(parents=True)
    (tmp_path / "labels" / "final").mkdir(parents=True)
    for path in (
        tmp_path / "jane.nii.gz",
        tmp_path / "joe.nii.gz",
        tmp_path / ".wslpet" / "series" / "1.2.3" / "1.2.3.nii",
    ):
        save_scan(volume, path)
    save_mask(mask, tmp_path / "labels" / "final" / "jane.nii.gz")
    records = [
        {"image": "jane", **Seed("lymphoma", (1, 2, 3)).to_dict()},
        {"image": "joe", **Seed("lung", (1, 2, 3)).to_dict()},
        {"image": "jane", **Seed("lung", CENTRE).to_dict()},
        {"image": "joe", "removed": "2026-01-01T00:00:00.000+00:00"},
        {"image": "1.2.3", **Seed("lung", CENTRE).to_dict()},
        {"image": "gone", **Seed("lung", CENTRE).to_dict()},
    ]
    log = tmp_path / ".wslpet" / "seeds.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records) + "half a rec\n")
    found = IMPORTERS["datastore"](tmp_path, Options())
    rows = again(found, tmp_path)
    assert set(rows) == {"jane", "1.2.3"}
    assert rows["jane"].seed.cancer_type == "lung" and rows["jane"].seed.position == CENTRE
    assert rows["jane"].mask.name == "jane.nii.gz" and rows["1.2.3"].mask is None
    assert len(found.problems) == 2
    assert re.match(r"row 7 of .*seeds\.jsonl: ", found.problems[0])
    assert "gone: its scan is not in" in found.problems[1]


def test_types_that_were_renamed_have_their_new_name(tmp_path):
    volume, _ = patient()
    (tmp_path / ".wslpet").mkdir()
    names = {"first": "mamma", "second": "breast", "third": "lung"}
    records = []
    for image, cancer_type in names.items():
        save_scan(volume, tmp_path / f"{image}.nii.gz")
        records.append({"image": image, **Seed(cancer_type, CENTRE, user="Ann").to_dict()})
    (tmp_path / ".wslpet" / "seeds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = IMPORTERS["datastore"](tmp_path, Options(renamed={"mamma": "breast"})).rows
    assert [(row.name, row.seed.cancer_type) for row in rows] == [
        ("first", "breast"), ("second", "breast"), ("third", "lung"),
    ]
    assert {row.seed.user for row in rows} == {"Ann"}
    table = tmp_path / "out" / "cohort.csv"
    assert main(["import", "datastore", str(tmp_path), "--out", str(table), "--rename", "mamma:breast"]) == 0
    types = ("breast", "lung")
    assert [row.seed.cancer_type for row in read_table(table, types)[0]] == ["breast", "breast", "lung"]
    assert main(["import", "datastore", str(tmp_path), "--out", str(table)]) == 0
    assert len(read_table(table, types)[1]) == 1, "without it the former name stays, and is told"


def test_dicom_with_a_segmentation(tmp_path):
    volume, mask = patient()
    home = tmp_path / "dicom" / "someone" / "pet"
    write_series(volume, home, "someone")
    write_series(volume, tmp_path / "dicom" / "nobody" / "pet", "nobody")
    series = read_series(home)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.files]
    path = tmp_path / "dicom" / "someone" / "seg.dcm"
    write_segmentation(mask, series.volume, headers, {1: "lung"}, Maker("MANUAL", "1"), path)
    found = IMPORTERS["dicom"](tmp_path / "dicom", Options("lung", masks=tmp_path / "masks"))
    (row,) = again(found, tmp_path).values()
    assert row.patient == "someone" and row.scan.samefile(home)
    assert in_lesion(row.seed.position)
    assert np.array_equal(read_mask(row.mask).array, resample_labels(mask, series.volume).array)
    assert (
        len(found.problems) == 1
        and "nobody/pet: no contour belongs to its study; serve the folder" in found.problems[0]
    )


@pytest.mark.slow
def test_dicom_with_an_rtstruct(tmp_path):
    real = real_data("sts_001_ge_pet")
    shutil.copytree(real, tmp_path / "dicom")
    options = Options("sarcoma", masks=tmp_path / "masks")
    found = IMPORTERS["dicom"](tmp_path / "dicom", options)
    assert found.rows == [] and "GTV_Edema, GTV_Mass none is ''; say with --roi" in found.problems[0]
    found = IMPORTERS["dicom"](tmp_path / "dicom", Options("sarcoma", masks=tmp_path / "masks", roi="GTV_Mass"))
    (row,) = found.rows
    assert int(read_mask(row.mask).array.sum()) == pytest.approx(5095, rel=0.03)


def test_dicom_without_a_type_needs_the_option(tmp_path):
    with pytest.raises(InputError, match="give --type"):
        IMPORTERS["dicom"](tmp_path, Options())
    with pytest.raises(InputError, match="holds no DICOM PET series"):
        IMPORTERS["dicom"](tmp_path, Options("lung"))


@pytest.mark.parametrize(
    ("text", "value"), [("062Y", 62), (" 62.5 kg", 62.5), ("62,5", 62.5), ("-3", -3), ("", None), ("n/a", None), ("²", None)]
)
def test_a_number_is_what_the_text_begins_with(text, value):
    assert number(text) == value if value is not None else np.isnan(number(text))
