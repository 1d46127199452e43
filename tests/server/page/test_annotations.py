"""A click over the API: tried, saved, taken back, deleted."""

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import requests
from scipy.ndimage import gaussian_filter

from tests.helpers.synthetic import ORIENTATIONS
from tests.server.page.saving import saving
from wslpet.io.readers import read_volume

FAINT, AIR = [-80.0, -60.0, 100.0], [-8.0, -8.0, 236.0]


@pytest.fixture(scope="module")
def scans(scans):
    write_faint(scans["ras"].path.with_name("faint.nii.gz"))
    return scans


def write_faint(path):
    """A body of SUV 1 with a lesion, a spot of SUV 1.4 at `FAINT`, and air above it at `AIR`; off-origin, in LPS."""
    affine = np.diag([-4.0, -4, 4, 1])
    place = np.indices((40, 36, 60)).T @ affine[:3, :3]
    array = np.where(((place - FAINT) ** 2).sum(-1) < 12**2, 1.4, 1.0).T
    array[5:9, 5:9, 35:39] = 8
    array = gaussian_filter(array, 0.64)
    array *= 1 + 0.03 * np.random.default_rng(0).standard_normal(array.shape)
    array[:, :, 45:] = 0
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_preview_records_nothing_and_the_saved_click_has_its_position(scans, server, ask, name):
    scan = scans[name]
    position = scan.centre.tolist()
    tried = ask(f"images/{name}/delineation", "POST", json={"position": position, "cancer_type": "lung"}).json()
    assert np.linalg.norm(np.array(tried["centroid"]) - scan.centre) < 6
    assert server.seeds(name) == []
    start, shape = np.array(tried["mask"]["start"]), tried["mask"]["shape"]
    ras = read_volume(scan.path).to_ras()
    assert ((start >= 0) & (start + shape <= ras.shape)).all()
    save = {"cancer_type": "lung", "position": position, "annotator": "Ann"}
    saved = ask(f"images/{name}/annotations", "POST", 201, json=save).json()
    (seed,) = server.seeds(name)
    np.testing.assert_allclose(seed["position"], position, atol=0.01)
    np.testing.assert_allclose(read_volume(scan.path).to_world(np.array(seed["index"])), position, atol=0.01)
    assert saved["history"] == [{**saved["annotation"], "counts": True}]
    answer = server.click(name, "lung", seed["index"], output="json").json()["lesions"][0]
    assert tried["volume_ml"] == pytest.approx(answer["volume_ml"], rel=1e-9)
    ask(f"images/{name}/annotations/withdraw", "POST", json={"time": server.seeds(name)[-1]["time"]})


def test_a_withdrawal_restores_the_annotation_before_and_deletes_nothing(server, scans, ask):
    url = "images/ras/annotations"
    times = [
        ask(url, "POST", 201, json=saving(scans["ras"], kind, who)).json()["annotation"]["time"]
        for kind, who in (("lung", "Ann"), ("oesophagus", "Bob"))
    ]
    refused = ask(f"{url}/withdraw", "POST", 409, json={"time": times[0], "annotator": "Ann"}).json()["detail"]
    assert "superseded by Bob" in refused and "nothing was undone" in refused
    history = ask(f"{url}/withdraw", "POST", json={"time": times[1], "annotator": "Bob"}).json()
    assert [(said["user"], said["kind"], said["counts"]) for said in history[-3:]] == [
        ("Ann", "seed", True), ("Bob", "seed", False), ("Bob", "withdrawn", False),
    ]  # fmt: skip
    assert server.seeds("ras")[-1]["user"] == "Ann"


def test_an_annotation_that_comes_many_times_at_once_is_recorded_once(server, scans, ask):
    seen = len(ask("images/anisotropic/annotations").json())
    body = saving(scans["anisotropic"], id="one of its own", seen=seen)
    before = len(server.seeds("anisotropic"))
    arrived = threading.Barrier(8)

    def send(_):
        arrived.wait(30)
        return ask("images/anisotropic/annotations", "POST", 201, json=body).json()

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(send, range(8)))
    assert len(server.seeds("anisotropic")) == before + 1
    assert sorted(one["known"] for one in told) == [False] + [True] * 7
    assert len({one["annotation"]["time"] for one in told}) == 1
    assert not any(one["meanwhile"] for one in told)
    again = ask("images/anisotropic/annotations", "POST", 201, json={**body, "seen": 99}).json()
    assert again["known"] and len(server.seeds("anisotropic")) == before + 1
    moved = {**body, "cancer_type": "oesophagus"}
    assert "send a new id" in ask("images/anisotropic/annotations", "POST", 409, json=moved).json()["detail"]
    assert len(server.seeds("anisotropic")) == before + 1


def test_a_click_in_air_is_refused_and_one_on_plain_background_is_asked_about(server, ask):
    click = {"cancer_type": "lung", "annotator": "Ann"}
    for position, words in ((AIR, "nothing stands out within 15 mm of [2, 2, 59] (SUV 0.0)"), (FAINT, "hardly stands")):
        body = {**click, "position": position}
        assert words in ask("images/faint/annotations", "POST", 400, json=body).json()["detail"]
    where = {"position": AIR, "cancer_type": "lung"}
    assert "nothing stands out" in ask("images/faint/delineation", "POST", 400, json=where).json()["detail"]
    tried = ask("images/faint/delineation", "POST", json={"position": FAINT, "cancer_type": "lung"}).json()
    assert "hardly stands out" in tried["doubt"]
    ask("images/faint/annotations", "POST", 400, json={**click, "position": AIR, "sure": True})
    assert server.seeds("faint") == []
    ask("images/faint/annotations", "POST", 201, json={**click, "position": FAINT, "sure": True})
    # It is there; what a viewer or a table sends on top of it is judged as ever.
    for index, words in (([2, 2, 59], "nothing stands out"), ([20, 15, 25], "hardly stands out")):
        refused = server.click("faint", "lung", index)
        assert refused.status_code == 400 and words in refused.json()["detail"]
    assert [seed["position"] for seed in server.seeds("faint")] == [pytest.approx(FAINT, abs=0.01)]


def test_a_deleted_annotation_leaves_the_patient_to_be_annotated_and_stays_in_the_history(server, scans, ask):
    for who in ("Ann", "Bob"):
        ask("images/oblique/annotations", "POST", 201, json=saving(scans["oblique"], annotator=who))
    seeds = server.seeds("oblique")
    assert len(seeds) > 1
    history = ask(
        "images/oblique/annotations/withdraw", "POST", json={"time": seeds[-1]["time"], "annotator": "Eve", "all": True}
    ).json()
    assert server.seeds("oblique") == []
    kinds = [said["kind"] for said in history[-2 - len(seeds) :]]
    assert kinds == ["seed"] * 2 + ["withdrawn"] * len(seeds)
    assert history[-1]["user"] == "Eve" and not any(said["counts"] for said in history)
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["oblique"]["state"] == "unannotated" and rows["oblique"]["annotation"] is None
    assert rows["oblique"]["annotations"] == len(history)


def test_a_deleted_annotation_takes_its_final_label_along(server, scans, ask):
    scan = scans["ras"]
    inside = nib.Nifti1Image(scan.truth().astype(np.uint8), scan.affine)
    submitted = requests.put(
        f"{server.url}/datastore/label",
        params={"image": "ras", "tag": "final"},
        files={"label": ("y.nii.gz", gzip.compress(inside.to_bytes()))},
        data={"params": json.dumps({"label_info": [{"name": "lung", "idx": 1}]})},
        timeout=60,
    )
    assert submitted.ok, submitted.text
    label = server.studies / "labels" / "final" / "ras.nii.gz"
    assert label.exists()
    time = server.seeds("ras")[-1]["time"]
    ask("images/ras/annotations/withdraw", "POST", json={"time": time, "annotator": "Eve", "all": True})
    assert not label.exists() and list((server.studies / ".wslpet" / "superseded").glob("*-final/ras.nii.gz"))
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["ras"]["state"] == "unannotated"
