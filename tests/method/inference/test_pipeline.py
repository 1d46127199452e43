from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import wslpet.method.inference.forward
import wslpet.method.inference.pipeline
from tests.helpers.blobs import dice, ellipsoid, empty, scan, stored_as
from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.finding.candidates import FEATURES
from wslpet.method.inference.finding.maps import ANGLES, LesionMap
from wslpet.method.inference.finding.probability import load_lesion_probability
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.pipeline import delineate, find_lesions, find_primary
from wslpet.method.inference.result import Result
from wslpet.method.network.checkpoint import Model, new_network
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.projection.mip import VIEWS, project
from wslpet.method.projection.rotated import rotated_mips

RADII = np.array([17.0, 14.0, 22.0])
# Off-centre in every axis, mm from the first voxel of the RAS scan.
PLACE = np.array([128.0, 52.0, 163.0])
EXTENT = np.array([190.0, 160.0, 230.0])

# (permutation, flips), spacing along the body's axes, origin, tilt about x.
STORED = {
    "RAS": (((0, 1, 2), (False, False, False)), (4, 4, 4), (0, 0, 0), 0),
    "LPS": (((0, 1, 2), (True, True, False)), (4, 4, 4), (0, 0, 0), 0),
    "permuted": (((2, 0, 1), (False, True, False)), (4, 4, 4), (0, 0, 0), 0),
    "anisotropic": (((1, 0, 2), (False, False, True)), (3.5, 4.5, 6), (0, 0, 0), 0),
    "off-origin": (((1, 2, 0), (True, True, True)), (4.06, 4.06, 3), (-410, 253, -1180), 0),
    "oblique": (((0, 1, 2), (True, True, False)), (4, 4, 4), (30, -20, 500), 9),
}


def make(name: str) -> tuple[Volume, np.ndarray, np.ndarray]:
    """The scan as stored, the tumour's centre in mm RAS, and its mask in the scan's geometry."""
    storage, spacing, origin, tilt = STORED[name]
    volume = empty(tuple(np.ceil(EXTENT / spacing).astype(int)), spacing, origin, tilt)
    centre = volume.to_world(PLACE / spacing)
    volume = scan(volume, [(centre, RADII, 9.0), (volume.to_world(np.array([40, 90, 60]) / spacing), (20,) * 3, 14.0)])
    stored = stored_as(volume, *storage)
    return stored, centre, ellipsoid(stored, centre, RADII)


def model(**changes) -> Model:
    settings = settings_from(widths=(8,) * 8, **changes)
    return Model(new_network(settings).eval(), settings)


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("with_model", [False, True])
def test_a_click_finds_its_tumour_wherever_it_is_stored(name, with_model):
    volume, centre, truth = make(name)
    result = delineate(volume, Seed("oesophagus", tuple(centre)), model() if with_model else None)
    assert result.mask.shape == volume.shape
    assert np.array_equal(result.mask.affine, volume.affine)
    assert set(np.unique(result.mask.array)) == {0, 2}
    found = result.mask.array > 0
    assert dice(found, truth) > 0.85
    outside = found.copy()
    outside[:, :, result.slices] = False
    assert not outside.any() and found[:, :, result.slices].any(axis=(0, 1)).mean() > 0.7
    middle = result.mask.to_world(np.argwhere(found)).mean(axis=0)
    expected = volume.to_world(np.argwhere(truth)).mean(axis=0)
    assert np.linalg.norm(middle - expected) < max(volume.spacing)
    (lesion,) = result.lesions
    assert lesion.position == pytest.approx(tuple(middle))
    assert volume.to_world(np.array(lesion.index)) == pytest.approx(middle)


def test_other_grids_are_looked_at_where_the_first_leaves_doubt(monkeypatch):
    volume, _, _ = make("LPS")
    views, net = project(volume.to_ras()), model(test_time_scales=(0.8, 1.0, 1.25))
    for sure, expected in ((2.0, [3.2, 4.0, 5.0]), (0.0, [4.0])):
        monkeypatch.setattr(wslpet.method.inference.forward, "SURE", sure)
        seen = run_network(views, net)
        assert [output.images["coronal"].grid_mm for output in seen.scale_outputs] == pytest.approx(expected)
        assert seen.main.images["coronal"].grid_mm == 4.0


@pytest.mark.parametrize("cancer_type", ["lung", "oesophagus"])
def test_the_seed_decides_the_type(cancer_type):
    volume, centre, _ = make("RAS")
    result = delineate(volume, Seed(cancer_type, tuple(centre)), model())
    assert result.cancer_type == cancer_type
    assert result.mask.array.max() == {"lung": 1, "oesophagus": 2}[cancer_type]
    assert result.lesions[0].cancer_type == cancer_type


@pytest.fixture
def sure_of(monkeypatch):
    """Function: the segmenter is as sure of a mask (as stored) as is said; the regressions are those of the network."""

    def sure(volume: Volume, inside: np.ndarray, network: Model, probability: float = 0.98) -> None:
        mask = volume.with_array(inside.astype(np.float32)).to_ras()

        def maps(ras: Volume, segmenter: CoarseNet | None) -> list[LesionMap]:
            pairs = zip(rotated_mips(ras, ANGLES), rotated_mips(mask, ANGLES), strict=True)
            return [LesionMap(mip, probability * (own.mip > 0)) for mip, own in pairs]

        shipped = replace(load_lesion_probability(FEATURES), model_version=network.version)
        monkeypatch.setattr(wslpet.method.inference.forward, "lesion_maps", maps)
        monkeypatch.setattr(wslpet.method.inference.pipeline, "load_lesion_probability", lambda features: shipped)

    return sure


@pytest.mark.parametrize("name", STORED)
def test_the_segmenters_lesion_is_found_wherever_it_is_stored(name, sure_of):
    volume, centre, truth = make(name)
    network = model(no_tumour=True)
    sure_of(volume, truth, network)
    result = find_lesions(volume, network)
    assert result.mask.shape == volume.shape and result.mask.array.dtype == np.uint8
    assert np.array_equal(result.mask.affine, volume.affine)
    first = result.lesions[0]
    assert np.linalg.norm(np.array(first.position) - centre) < 6
    assert dice(result.lesion_mask().array == 1, truth) > 0.75
    assert first.probability >= 0.4 and result.lesion_probability >= 0.4
    assert result.cancer_type == first.cancer_type == max(("lung", "oesophagus"), key=result.type_probabilities.get)
    assert set(np.unique(result.mask.array)) == {0, network.settings.labels[result.cancer_type]}
    assert sum(result.type_probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert set(result.cams) == set(result.images) == set(VIEWS)
    assert all(cam.min() >= 0 and cam.max() <= 1 for cam in result.cams.values())


@pytest.mark.parametrize("no_tumour", [False, True])
def test_no_lesion_is_an_answer(no_tumour, sure_of):
    volume, _, truth = make("off-origin")
    network = model(no_tumour=no_tumour)
    sure_of(volume, truth, network, 0.001)
    result = find_lesions(volume, network)
    assert result.cancer_type == NO_TUMOUR and result.lesions == () and result.contours == ()
    assert result.mask.shape == volume.shape and not result.mask.array.any()
    assert not result.lesion_mask().array.any()
    answer = json.loads(json.dumps(result.to_dict()))
    assert answer["mtv_ml"] == 0 and answer["lesions"] == []
    assert answer["confidence"] == pytest.approx(1 - answer["lesion_probability"])


def test_one_lesion_of_a_network_that_learned_on_site_stands(monkeypatch):
    volume, _, _ = make("off-origin")
    monkeypatch.setattr(wslpet.method.inference.forward, "lesion_maps", lambda ras, segmenter: ())
    network = model()
    all_lesions = find_lesions(volume, network, least_probability=1.0)
    assert len(all_lesions.lesions) == 1 and all_lesions.mask.array.any()
    assert all_lesions.cancer_type == find_primary(volume, network).cancer_type
    assert 0 < all_lesions.lesion_probability < 1 and 0 < all_lesions.lesions[0].probability < 1


def test_a_least_probability_must_be_one():
    volume, _, _ = make("RAS")
    with pytest.raises(InputError, match=r"setting least_probability=1\.5 is outside 0\.0–1\.0"):
        find_lesions(volume, model(), least_probability=1.5)


@pytest.mark.parametrize("name", STORED)
def test_the_cams_alone_always_name_a_lesion(name):
    volume, _, _ = make(name)
    result = find_primary(volume, model())
    assert result.mask.shape == volume.shape and np.array_equal(result.mask.affine, volume.affine)
    assert len(result.lesions) == 1 and result.mask.array.any()
    assert result.cancer_type == max(result.type_probabilities, key=result.type_probabilities.get)


def test_the_answer_does_not_depend_on_storage():
    ras, _, _ = make("RAS")
    lps, _, _ = make("LPS")
    network = model()
    one, two = find_lesions(ras, network), find_lesions(lps, network)
    assert one.type_probabilities == pytest.approx(two.type_probabilities, abs=1e-5)
    assert np.array_equal(one.mask.array, two.mask.to_ras().array)


def test_the_scan_is_not_modified():
    volume, centre, _ = make("permuted")
    before = volume.array.copy()
    delineate(volume, Seed("lung", tuple(centre)), model())
    find_lesions(volume, model())
    assert np.array_equal(volume.array, before)


def test_the_result_is_json():
    volume, centre, _ = make("RAS")
    network = model()
    answer = json.loads(json.dumps(delineate(volume, Seed("lung", tuple(centre)), network).to_dict()))
    assert answer["mtv_ml"] == pytest.approx(sum(lesion["volume_ml"] for lesion in answer["lesions"]))
    assert answer["tlg"] == pytest.approx(answer["lesions"][0]["tlg"])
    assert answer["model_version"] == network.version
    assert all(seconds >= 0 for seconds in answer["latencies"].values())


@pytest.mark.parametrize("move", [(-200, 0, 0), (0, 500, 0), (0, 0, -400)])
def test_a_seed_outside_is_refused(move):
    volume, centre, _ = make("off-origin")
    with pytest.raises(SeedError, match=r"case: seed at .*lies outside the scan"):
        delineate(volume, Seed("lung", tuple(centre + move)))


def test_a_type_that_is_not_configured_is_refused():
    volume, centre, _ = make("RAS")
    with pytest.raises(SeedError, match="'breast' is not one of lung, oesophagus"):
        delineate(volume, Seed("breast", tuple(centre)))
    settings = settings_from(types=("breast", "cervix"))
    assert delineate(volume, Seed("cervix", tuple(centre)), settings=settings).mask.array.max() == 2


@pytest.mark.parametrize("no_tumour", [False, True])
def test_no_tumour_is_an_empty_mask(no_tumour):
    volume, centre, _ = make("RAS")
    result = delineate(volume, Seed(NO_TUMOUR, tuple(centre)), model(no_tumour=no_tumour))
    assert not result.mask.array.any() and result.lesions == ()
    assert result.to_dict()["mtv_ml"] == 0


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_a_click_where_nothing_is_hot_is_answered_or_refused(background):
    volume = scan(empty((30, 26, 38), (6.0, 6.0, 6.0)), [], background, noise=0.02)
    volume.array[0, 0, 0] = 3.0
    try:
        result = delineate(volume, Seed("lung", (90.0, 78.0, 120.0)))
    except InputError:
        return
    assert isinstance(result, Result)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", STORED)
def test_a_gpu_finds_the_same(name):
    volume, _, _ = make(name)
    settings = settings_from()
    answers = [
        find_lesions(volume, Model(new_network(settings).eval().to(device), settings)) for device in ("cpu", "cuda")
    ]
    one, other = answers
    assert one.cancer_type == other.cancer_type
    assert one.type_probabilities == pytest.approx(other.type_probabilities, abs=1e-3)
    assert dice(one.mask.array > 0, other.mask.array > 0) > 0.99
