"""Image files of every kind through a real server: by link, in subfolders, of two forms, of one slice."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import nibabel as nib
import numpy as np
import pytest
import requests
import SimpleITK as sitk

from tests.helpers.app_server import Server
from tests.helpers.synthetic import write_scan

NESTED = "sub-01/pet/sub-01_pet"


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    studies = tmp_path_factory.mktemp("studies")
    (studies / NESTED).parent.mkdir(parents=True)
    write_scan((studies / NESTED).parent, Path(NESTED).name)
    (studies / "notes.txt").write_text("x")
    scan = nib.load(write_scan(studies, "lps", "lps").path)
    away = scan.affine.copy()
    away[:3, 3] += 25, -18, 12
    coreg = nib.Nifti1Image(scan.get_fdata(dtype=np.float32), away)
    coreg.set_qform(scan.affine, 1)
    coreg.set_sform(away, 2)
    nib.save(coreg, studies / "coreg.nii.gz")
    nib.save(scan.slicer[:, :, 40:41], studies / "slice.nii.gz")
    blob = (studies / "lps.nii.gz").rename(tmp_path_factory.mktemp("blobs") / "3f2a9c")
    (studies / "lps.nii.gz").symlink_to(blob)
    return studies


@pytest.fixture(scope="module")
def server(studies, tmp_path_factory):
    server = Server(studies, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


def click_of(studies: Path, name: str) -> list[int]:
    """The hottest voxel."""
    array = nib.load(studies / f"{name}.nii.gz").get_fdata(dtype=np.float32)
    return [int(i) for i in np.unravel_index(array.argmax(), array.shape)]


def test_a_scan_in_a_subfolder_is_clicked_and_submitted(studies, server):
    click = click_of(studies, NESTED)
    assert server.click(NESTED, "lung", click, output="image").ok
    assert server.seeds(NESTED)[0]["index"] == click
    download = requests.get(f"{server.url}/datastore/image", params={"image": NESTED}, timeout=60)
    assert download.content == (studies / f"{NESTED}.nii.gz").read_bytes()
    page = f"{server.url}/wslpet/api/images/{quote(quote(NESTED, safe=''), safe='')}"
    assert requests.get(page, timeout=60).json()["image"] == NESTED
    for part in ("mips", "slices/axial/3", "thumbnail", "annotations"):
        assert requests.get(f"{page}/{part}", timeout=60).ok, part


def test_files_that_are_left_out_are_reported(server):
    assert list(server.info()["datastore"]["left_out"]) == ["notes.txt"]
    cohort = requests.get(f"{server.url}/wslpet/api/cohort", timeout=60).json()
    assert [entry["file"] for entry in cohort["left_out"]] == ["notes.txt"]


def test_a_link_is_served_by_its_name(studies, server):
    assert server.click("lps", "lung", click_of(studies, "lps")).ok
    download = requests.get(f"{server.url}/datastore/image", params={"image": "lps"}, timeout=60)
    assert 'filename="lps.nii.gz"' in download.headers["Content-Disposition"]


def test_one_slice_is_refused_and_nothing_recorded(server):
    for _ in range(2):
        answer = server.click("slice", "lung", [20, 20, 0])
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "image slice.nii.gz: (57, 44, 1) is one slice, no volume; give the whole scan",
        )
    assert server.seeds("slice") == []


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".nii.gz"])
def test_a_mask_lies_on_a_scan_of_two_forms(studies, server, tmp_path, extension):
    click = click_of(studies, "coreg")
    params = {"lung": [click], "result_extension": extension}
    answer = server.infer("wslpet_seed", "coreg", params, output="image")
    (tmp_path / f"mask{extension}").write_bytes(answer.content)
    scan, mask = sitk.ReadImage(str(studies / "coreg.nii.gz")), sitk.ReadImage(str(tmp_path / f"mask{extension}"))
    assert np.allclose(scan.TransformIndexToPhysicalPoint(click), mask.TransformIndexToPhysicalPoint(click), atol=0.1)
    assert np.allclose(scan.GetDirection(), mask.GetDirection(), atol=1e-4)


def test_a_label_of_a_viewer_becomes_a_seed_at_its_voxel(studies, server, tmp_path):
    click = click_of(studies, "coreg")
    scan = sitk.ReadImage(str(studies / "coreg.nii.gz"))
    drawn = np.zeros(scan.GetSize(), np.uint8)
    drawn[tuple(slice(i - 1, i + 2) for i in click)] = 1
    label = sitk.GetImageFromArray(drawn.T.copy())
    label.CopyInformation(scan)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    with open(tmp_path / "label.nrrd", "rb") as file:
        query = {"image": "coreg", "tag": "final"}
        assert requests.put(f"{server.url}/datastore/label", params=query, files={"label": file}, timeout=60).ok
    assert np.allclose(server.seeds("coreg")[-1]["index"], click, atol=0.01)
