from __future__ import annotations

import math

import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, affine_of, ellipsoid, empty, scan, stored_as
from wslpet.analysis.radiomics import catalogue, radiomics, settings
from wslpet.analysis.uptake import measure
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume

CENTRE, RADII = (62.0, 41.0, 118.0), (19.0, 14.0, 23.0)


@pytest.fixture(scope="module")
def lesion() -> tuple[Volume, np.ndarray]:
    volume = scan(empty(spacing=(4.06, 4.06, 3.0)), [(CENTRE, RADII, 9.0)], noise=0.2)
    return volume, ellipsoid(volume, CENTRE, RADII)


def labelled(volume: Volume, inside: np.ndarray) -> Volume:
    return volume.with_array(inside.astype(np.uint8), "label")


def test_every_feature_of_the_catalogue_is_measured(lesion):
    found = radiomics(*lesion)
    assert list(found) == list(catalogue())
    assert np.isfinite(list(found.values())).all()
    assert found["volume_ml"] == pytest.approx(4 / 3 * np.pi * np.prod(RADII) / 1000, rel=0.05)
    assert found["shape_MeshVolume"] == pytest.approx(found["volume_ml"] * 1000, rel=0.05)
    assert {name: found[name] for name in measure(*lesion)} == pytest.approx(measure(*lesion))


def test_ibsi_ids_are_four_letters_and_belong_to_one_feature():
    ids = [feature.ibsi for feature in catalogue().values() if feature.ibsi]
    assert all(len(ibsi) == 4 and ibsi.isalnum() and ibsi == ibsi.upper() for ibsi in ids)
    # MTV, SUVmax and SUVmean are those of the scan's voxels, and again of the resampled ones.
    assert {ibsi for ibsi in ids if ids.count(ibsi) > 1} == {"YEKZ", "84IY", "Q4LE"}


@pytest.mark.parametrize(("permutation", "flips"), STORAGES[1::7])
def test_storage_does_not_change_a_feature(lesion, permutation, flips):
    volume, inside = lesion
    stored = stored_as(volume, permutation, flips)
    mask = stored_as(labelled(volume, inside), permutation, flips)
    assert radiomics(stored, mask.array > 0) == pytest.approx(radiomics(volume, inside), rel=1e-4)


def test_tilt_and_place_do_not_change_a_feature(lesion):
    volume, inside = lesion
    tilted = Volume(volume.array, affine_of(volume.spacing, (-310.0, 75.0, -900.0), tilt_degrees=18.0))
    assert radiomics(tilted, inside) == pytest.approx(radiomics(volume, inside), rel=1e-3)


def test_how_much_of_the_body_is_shown_does_not_change_a_feature(lesion):
    volume, inside = lesion
    window = (slice(3, 40), slice(0, 33), slice(11, 52))
    assert radiomics(volume.cropped(window), inside[window]) == pytest.approx(radiomics(volume, inside), rel=1e-5)


def test_bins_are_half_an_suv_and_voxels_three_millimetres(lesion):
    assert (settings()["binWidth"], settings()["resampledPixelSpacing"]) == (0.5, [3, 3, 3])
    volume, inside = lesion
    coarse = radiomics(volume, inside, binWidth=2.0)
    assert coarse["firstorder_Entropy"] < radiomics(volume, inside)["firstorder_Entropy"] - 1
    assert coarse["firstorder_Mean"] == radiomics(volume, inside)["firstorder_Mean"]


def test_texture_tells_a_patchy_lesion_from_an_even_one(lesion):
    volume, inside = lesion
    even = volume.with_array(np.where(inside, 6.0 + 1e-3 * volume.array, volume.array).astype(np.float32))
    assert radiomics(even, inside)["glcm_Contrast"] < radiomics(volume, inside)["glcm_Contrast"]


def test_a_lesion_too_small_or_empty_is_refused(lesion):
    volume, inside = lesion
    with pytest.raises(InputError, match="empty"):
        radiomics(volume, np.zeros_like(inside))
    with pytest.raises(GeometryError, match="does not fit"):
        radiomics(volume, inside[1:])
    one = np.zeros_like(inside)
    one[15, 10, 39] = True
    with pytest.raises(InputError, match=r"1 voxels .* too small .* measure a larger one"):
        radiomics(volume, one)
    found = radiomics(volume, one, strict=False)
    assert math.isnan(found["glcm_Contrast"]) and found["suv_max"] == pytest.approx(float(volume.array[one][0]))
