"""A submitted mask is a seed and a type, too."""

import nibabel as nib
import numpy as np
import pytest
import requests


def submit(clinic, scan, mask, params, tag="final", affine=None):
    path = clinic.server.scratch / "submitted.nii.gz"
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), scan.affine if affine is None else affine), path)
    with open(path, "rb") as file:
        return requests.put(
            f"{clinic.server.url}/datastore/label",
            params={"image": scan.name, "tag": tag},
            data={"params": params},
            files={"label": ("label.nii.gz", file)},
            timeout=60,
        )


def test_a_mask_from_slicer_becomes_a_seed(clinic):
    scan = clinic.scans["permuted_oesophagus"]
    params = '{"label_info": [{"name": "Oesophagus", "idx": 1}], "client_id": "dr"}'
    answer = submit(clinic, scan, scan.truth(), params)
    assert answer.status_code == 200, answer.text
    seed = clinic.server.seeds(scan.name)[-1]
    assert (seed["cancer_type"], seed["user"]) == ("oesophagus", "dr")
    assert np.linalg.norm(np.array(seed["position"]) - scan.centre) < 6
    label = requests.get(f"{clinic.server.url}/datastore/label?label={scan.name}&tag=final", timeout=30)
    assert label.ok


def test_a_cropped_mask_is_placed_by_its_own_geometry(clinic):
    scan = clinic.scans["off_origin_lung"]
    truth = scan.truth()
    low = np.argwhere(truth).min(axis=0)
    affine = scan.affine.copy()
    affine[:3, 3] = (scan.affine @ [*low, 1])[:3]
    answer = submit(clinic, scan, truth[low[0] :, low[1] :, low[2] :], "{}", affine=affine)
    assert answer.status_code == 200, answer.text
    assert np.linalg.norm(np.array(clinic.server.seeds(scan.name)[-1]["position"]) - scan.centre) < 6


def test_the_central_voxel_lies_in_the_largest_lesion(clinic):
    scan = clinic.scans["ras_lung"]
    mask = scan.truth()
    mask[2:5, 2:5, 2:5] = True
    assert submit(clinic, scan, mask, "{}").ok
    assert np.linalg.norm(np.array(clinic.server.seeds(scan.name)[-1]["position"]) - scan.centre) < 6


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ('{"label_info": [{"name": "heart", "idx": 1}]}', "no cancer type"),
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_masks_without_a_type_are_refused(clinic, params, said):
    scan = clinic.scans["wait2"]
    answer = submit(clinic, scan, scan.truth(), params)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert clinic.server.seeds(scan.name) == []


def test_bad_masks_are_refused(clinic):
    scan = clinic.scans["wait2"]
    two = scan.truth().astype(np.uint8)
    two[:2] = 2
    far = scan.affine.copy()
    far[:3, 3] += 5000
    cases = [
        (submit(clinic, scan, two, "{}"), "2 types"),
        (submit(clinic, scan, scan.truth() * 9, "{}"), "stands for no cancer type"),
        (submit(clinic, scan, scan.truth() * 0, "{}"), "empty"),
        (submit(clinic, scan, scan.truth(), "{}", affine=far), "outside"),
        (submit(clinic, scan, scan.truth(), "{}", tag="../../x"), "safe name"),
    ]
    for answer, said in cases:
        assert answer.status_code == 400, answer.text
        assert said in answer.json()["detail"]
    assert clinic.server.seeds(scan.name) == []


def test_a_prediction_is_no_annotation(clinic):
    scan = clinic.scans["wait3"]
    assert submit(clinic, scan, scan.truth(), "{}", tag="original").ok
    assert clinic.server.seeds(scan.name) == []
