"""Radiomics on the server: of one lesion on request, and of every annotated image as a CSV."""

import csv
import time

import nibabel as nib
import numpy as np
import pytest
import requests

from wslpet.analysis.radiomics import catalogue, radiomics
from wslpet.io.readers import read_volume

NAME = "anisotropic_oesophagus"


def scored(clinic):
    """Score, wait until it is over, and return the table."""
    answer = requests.post(f"{clinic.server.url}/scoring/radiomics", timeout=60)
    assert answer.status_code == 200, answer.text
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        task = requests.get(f"{clinic.server.url}/scoring/", timeout=60).json()
        if task["status"] not in ("SUBMITTED", "RUNNING"):
            assert task["status"] == "DONE", task["details"]
            break
        time.sleep(0.5)
    with open(clinic.server.studies / ".wslpet" / "radiomics.csv", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_an_inference_returns_radiomics_if_requested(clinic):
    scan = clinic.scans[NAME]
    plain = clinic.server.click(NAME, scan.cancer_type, scan.click, output="json")
    assert plain.status_code == 200 and "radiomics" not in plain.json()
    params = {"lung": [], "oesophagus": [scan.click], "radiomics": True}
    path, answer = clinic.server.client().infer("wslpet_seed", NAME, params)
    assert list(answer["radiomics"]) == list(catalogue())
    expected = radiomics(read_volume(scan.path), np.asarray(nib.load(path).dataobj) > 0, strict=False)
    assert answer["radiomics"] == pytest.approx(expected, nan_ok=True)
    assert answer["radiomics"]["volume_ml"] == pytest.approx(answer["mtv_ml"])
    refused = clinic.server.infer("wslpet_seed", NAME, {**params, "radiomics": "yes"})
    assert refused.status_code == 400 and "radiomics 'yes' is not true or false" in refused.json()["detail"]


def test_scoring_writes_a_table_and_measures_changed_images_again(clinic):
    assert set(clinic.server.info()["scoring"]) == {"radiomics"}
    scan = clinic.scans[NAME]
    assert clinic.server.click(NAME, scan.cancer_type, scan.click).status_code == 200
    first = scored(clinic)
    assert first[NAME]["outline"] == "click" and first[NAME]["cancer_type"] == "oesophagus"
    assert 20 < float(first[NAME]["volume_ml"]) < 80
    label = clinic.server.scratch / "label.nii.gz"
    nib.save(nib.Nifti1Image(scan.truth().astype(np.uint8) * 2, scan.affine), label)
    clinic.server.client().save_label(NAME, str(label))
    second = scored(clinic)
    assert second[NAME]["outline"] == "label"
    voxel_ml = abs(np.linalg.det(scan.affine[:3, :3])) / 1000
    assert float(second[NAME]["volume_ml"]) == pytest.approx(scan.truth().sum() * voxel_ml, rel=1e-6)
    assert {k: v for k, v in first.items() if k != NAME} == {k: v for k, v in second.items() if k != NAME}
    near = [int(scan.click[0]) + 1, *scan.click[1:]]
    assert clinic.server.click(NAME, scan.cancer_type, near).status_code == 200
    third = scored(clinic)  # what came last counts
    assert third[NAME]["outline"] == "click" and third[NAME]["annotation"] != second[NAME]["annotation"]
