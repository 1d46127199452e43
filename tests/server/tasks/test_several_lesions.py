"""Several lesions through a real server: three points, one removed, one corrected, submitted, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.browser.viewers.slicer import Slicer
from tests.helpers.app_server import Server
from tests.helpers.blobs import dice, ellipsoid, empty, scan, stored_as
from wslpet.core.volume import Volume

SPACING = (4.0, 4.5, 5.0)
# mm from the first voxel of the RAS scan, radii, SUV; the last two run into each other.
BLOBS = (
    ((150.0, 60.0, 190.0), (17.0, 14.0, 20.0), 9.0),
    ((70.0, 50.0, 160.0), (12.0, 12.0, 14.0), 8.0),
    ((60.0, 120.0, 70.0), (20.0, 15.0, 15.0), 9.0),
    ((99.0, 120.0, 70.0), (18.0, 13.0, 13.0), 9.0),
)
STORED = {"lps": ((0, 1, 2), (True, True, False)), "permuted": ((1, 2, 0), (True, False, True))}


@dataclass(frozen=True)
class Case:
    """A scan on the server, its lesions' centres in mm RAS, and their masks."""

    name: str
    volume: Volume
    centres: list[np.ndarray]
    truths: list[np.ndarray]

    def index(self, n: int, move=(0, 0, 0)) -> list[int]:
        return np.rint(self.volume.to_index(self.centres[n] + move)).astype(int).tolist()


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {f"{client}_{name}": make(f"{client}_{name}", name) for name in STORED for client in ("ohif", "slicer")}


@pytest.fixture(scope="module")
def server(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    studies = tmp_path_factory.mktemp("studies")
    for name, case in cases.items():
        nib.save(nib.Nifti1Image(case.volume.array, case.volume.affine), studies / f"{name}.nii.gz")
    started = Server(studies, tmp_path_factory.mktemp("scratch")).start()
    yield started
    started.stop()


def make(name: str, stored: str) -> Case:
    volume = empty((58, 42, 50), SPACING, (-110.0, 40.0, -900.0))
    centres = [volume.to_world(np.array(place) / SPACING) for place, _, _ in BLOBS]
    blobs = [(centre, radii, suv) for centre, (_, radii, suv) in zip(centres, BLOBS, strict=True)]
    hot = stored_as(scan(volume, blobs, fwhm_mm=9.0), *STORED[stored])
    return Case(name, hot, centres, [ellipsoid(hot, centre, radii) for centre, radii, _ in blobs])


def ohif(server: Server, case: Case, points: dict, **more) -> tuple[dict, np.ndarray]:
    """As OHIF asks: every label that was touched, the mask as .nrrd; the JSON beside it."""
    params = {
        "background": [],
        **points,
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "result_compress": False,
        "restore_label_idx": False,
        **more,
    }
    image = server.infer("wslpet_seed", case.name, params, output="image")
    assert image.status_code == 200, image.text
    path = server.scratch / "ohif.nrrd"
    path.write_bytes(image.content)
    told = server.infer("wslpet_seed", case.name, {**params, "client_id": "told"}, output="json").json()
    return told, sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T


@pytest.mark.parametrize("stored", STORED)
def test_three_points_of_ohif_are_three_lesions_of_which_one_is_removed_and_one_corrected(server, cases, stored):
    case = cases[f"ohif_{stored}"]
    points = [case.index(0), case.index(1), case.index(2)]
    told, mask = ohif(server, case, {"lung": points})
    assert [lesion["number"] for lesion in told["lesions"]] == [1, 2, 3]
    assert set(np.unique(mask)) == {0, 1}
    for lesion, n in zip(told["lesions"][:2], (0, 1), strict=True):
        assert np.linalg.norm(np.array(lesion["centroid"]["position"]) - case.centres[n]) < 6
    assert told["mtv_ml"] == pytest.approx(sum(lesion["volume_ml"] for lesion in told["lesions"]))
    left, options = {"lung": [points[0], points[2]]}, {"lesion_labels": True, "contour": ["ours", "SUV 2.5"]}
    told, mask = ohif(server, case, left, **options)
    assert set(np.unique(mask)) == {0, 1, 2} and len(told["lesions"]) == 2
    assert not (mask[case.truths[1]] > 0).any() and dice(mask == 1, case.truths[0]) > 0.8
    assert (mask == 2)[case.truths[3]].mean() > 0.8  # the neighbour that it ran into
    told, mask = ohif(server, case, {**left, "background": [case.index(3)]}, **options)
    assert told["lesions"][1]["contour"] == {"method": "SUV 2.5", "step": 0}
    assert dice(mask == 2, case.truths[2]) > 0.7 and (mask == 2)[case.truths[3]].mean() < 0.2
    assert dice(mask == 1, case.truths[0]) > 0.8
    newest = server.seeds(case.name)[-1]
    assert [seed["index"] for seed in newest["seeds"]] == [points[0], points[2]]
    assert [seed["index"] for seed in newest["background"]] == [case.index(3)]
    assert newest["index"] == points[0] and newest["cancer_type"] == "lung"


@pytest.mark.parametrize("stored", STORED)
def test_slicers_points_are_submitted_and_read_back(server, cases, stored):
    case = cases[f"slicer_{stored}"]
    slicer = Slicer(server)
    while slicer.next_sample() != case.name:
        server.click(slicer.sample["id"], "lung", cases[slicer.sample["id"]].index(0))
    for n in (0, 1, 2):
        mask, told = slicer.point("oesophagus", case.centres[n])
    assert len(told["lesions"]) == 3 and set(np.unique(mask.array)) == {0, 2}
    slicer.remove("oesophagus", 1)
    slicer.options["contour"] = "SUV 2.5"
    mask, told = slicer.run_points("oesophagus")
    assert len(told["lesions"]) == 2
    assert not mask.array[case.truths[1]].any() and (mask.array > 0)[case.truths[3]].mean() > 0.8
    mask, told = slicer.point("background", case.centres[3])
    assert (mask.array > 0)[case.truths[3]].mean() < 0.2
    slicer.submit(mask.array > 0, "oesophagus")
    newest = server.seeds(case.name)[-1]
    seeds = newest["seeds"]
    assert len(seeds) == 2 and newest["cancer_type"] == "oesophagus" and "background" not in newest
    for seed, n in zip(seeds, (0, 2), strict=True):
        assert np.linalg.norm(np.array(seed["position"]) - case.centres[n]) < 8
    label = server.scratch / "label.nii.gz"
    label.write_bytes(slicer.label())
    np.testing.assert_array_equal(np.asarray(nib.load(label).dataobj) > 0, mask.array > 0)


def test_a_chosen_contour_is_recorded_and_returned(server, cases):
    case = cases["ohif_lps"]
    volumes = {}
    for contour in ("ours", "41 %", "50%", {"method": "ours", "step": 2}, {"method": "ours", "step": -1}):
        told, _ = ohif(server, case, {"lung": [case.index(0)]}, contour=contour)
        volumes[json.dumps(contour)] = told["lesions"][0]["volume_ml"]
        seed = server.seeds(case.name)[-1]
        if contour != "ours":
            assert seed["contour"]["method"] == told["lesions"][0]["contour"]["method"]
    ours = volumes['"ours"']
    assert volumes['"50%"'] < volumes['"41 %"']
    assert volumes['{"method": "ours", "step": -1}'] < ours < volumes['{"method": "ours", "step": 2}']
    refused = server.infer("wslpet_seed", case.name, {"lung": [case.index(0)], "contour": "42 %"})
    assert refused.status_code == 400 and "41 %" in refused.json()["detail"]


def test_one_bad_point_among_good_ones_is_named_and_nothing_is_recorded(server, cases):
    case = cases["ohif_permuted"]
    before = server.seeds(case.name)
    answer = server.infer("wslpet_seed", case.name, {"lung": [case.index(0), [0, 0, 0]]})
    assert answer.status_code == 400 and "[0, 0, 0]" in answer.json()["detail"]
    alone = server.infer("wslpet_seed", case.name, {"lung": [], "background": [case.index(0)]})
    assert alone.status_code == 400 and "background points" in alone.json()["detail"]
    assert server.seeds(case.name) == before


def test_two_points_in_one_lesion_are_one(server, cases):
    case = cases["ohif_permuted"]
    points = [case.index(0), case.index(0, (6.0, -5.0, 5.0))]
    told, _ = ohif(server, case, {"lung": points})
    (lesion,) = told["lesions"]
    assert lesion["seeds"] == [0, 1]
