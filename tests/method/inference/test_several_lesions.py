"""Several seeds in one scan: in world coordinates, on volumes stored in every way."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import dice, ellipsoid, empty, scan, stored_as
from wslpet.core.errors import SeedError
from wslpet.core.seeds import BACKGROUND, Seed
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import delineate

EXTENT = np.array([230.0, 190.0, 260.0])
# mm from the first voxel of the RAS scan, radii, SUV; the second and the third touch.
BLOBS = (
    (np.array([150.0, 60.0, 190.0]), (17.0, 14.0, 20.0), 9.0),
    (np.array([60.0, 120.0, 70.0]), (13.0, 13.0, 13.0), 12.0),
    (np.array([88.0, 120.0, 70.0]), (11.0, 12.0, 12.0), 9.0),
    (np.array([70.0, 50.0, 160.0]), (10.0, 9.0, 11.0), 6.0),
)
STORED = {
    "RAS": (((0, 1, 2), (False, False, False)), (4, 4, 4), (0, 0, 0), 0),
    "LPS": (((0, 1, 2), (True, True, False)), (4, 4, 4), (0, 0, 0), 0),
    "permuted": (((2, 0, 1), (False, True, False)), (4, 4, 4), (0, 0, 0), 0),
    "anisotropic": (((1, 0, 2), (False, False, True)), (3, 3.5, 5), (0, 0, 0), 0),
    "off-origin": (((1, 2, 0), (True, True, True)), (4.06, 4.06, 3), (-410, 253, -1180), 0),
    "oblique": (((0, 1, 2), (True, True, False)), (4, 4, 4), (30, -20, 500), 9),
}


def make(name: str = "RAS") -> tuple[Volume, list[np.ndarray], list[np.ndarray]]:
    """The scan as stored, the lesions' centres in mm RAS, and their masks in the scan's geometry."""
    storage, spacing, origin, tilt = STORED[name]
    volume = empty(tuple(np.ceil(EXTENT / spacing).astype(int)), spacing, origin, tilt)
    centres = [volume.to_world(place / spacing) for place, _, _ in BLOBS]
    blobs = [(centre, radii, suv) for centre, (_, radii, suv) in zip(centres, BLOBS, strict=True)]
    stored = stored_as(scan(volume, blobs), *storage)
    return stored, centres, [ellipsoid(stored, centre, radii) for centre, radii, _ in blobs]


def at(position: np.ndarray, cancer_type: str = "oesophagus") -> Seed:
    return Seed(cancer_type, tuple(position))


@pytest.mark.parametrize("name", STORED)
def test_each_seed_is_a_lesion_where_it_is(name):
    volume, centres, truths = make(name)
    order = (2, 0, 3, 1)
    result = delineate(volume, [at(centres[n]) for n in order])
    assert [lesion.number for lesion in result.lesions] == [1, 2, 3, 4]
    numbers = result.lesion_mask()
    np.testing.assert_array_equal(numbers.affine, volume.affine)
    assert set(np.unique(result.mask.array)) == {0, 2}
    np.testing.assert_array_equal(numbers.array > 0, result.mask.array > 0)
    outside = numbers.array.copy()
    outside[:, :, result.slices] = 0
    assert not outside.any()
    for lesion, n in zip(result.lesions, order, strict=True):
        found = numbers.array == lesion.number
        assert dice(found, truths[n]) > 0.85
        assert lesion.volume_ml == pytest.approx(found.sum() * volume.voxel_ml)
        np.testing.assert_allclose(volume.to_world(np.argwhere(found)).mean(axis=0), lesion.position, atol=1e-6)
        np.testing.assert_allclose(volume.to_world(np.array(lesion.index)), lesion.position, atol=1e-6)


def test_a_seed_alone_is_delineated_as_before():
    volume, centres, _ = make()
    alone = delineate(volume, at(centres[0]))
    together = delineate(volume, [at(centres[0]), at(centres[3])])
    np.testing.assert_array_equal(together.lesion_mask().array == 1, alone.mask.array > 0)
    assert alone.lesions[0].to_dict()["number"] == 1


def test_two_seeds_in_one_lesion_are_one_lesion():
    volume, centres, truths = make()
    aside = centres[0] + np.array([5.0, -4.0, 6.0])
    result = delineate(volume, [at(centres[3]), at(centres[0]), at(aside)])
    assert [lesion.seeds for lesion in result.lesions] == [(0,), (1, 2)]
    assert dice(result.lesion_mask().array == 2, truths[0]) > 0.85
    assert result.mask.array.any() and result.to_dict()["lesions"][1]["seeds"] == [1, 2]


@pytest.mark.parametrize("name", STORED)
def test_a_background_seed_carves_off_its_basin(name):
    _, centres, _ = make(name)
    # Two halves that run into each other, so that one click has both.
    blobs = [(centres[1], (19.0, 15.0, 15.0), 9.0), (centres[2] + [14.0, 0.0, 0.0], (17.0, 13.0, 13.0), 9.0)]
    wide = stored_as(scan(empty_like(name), blobs, fwhm_mm=9.0), *STORED[name][0])
    whole = delineate(wide, at(blobs[0][0]))
    corrected = delineate(wide, [at(blobs[0][0]), at(blobs[1][0], BACKGROUND)])
    right = ellipsoid(wide, blobs[1][0], (8.0, 8.0, 8.0))
    assert not (corrected.mask.array[right] > 0).any()
    assert not (corrected.mask.array > 0)[whole.mask.array == 0].any()
    assert dice(corrected.mask.array > 0, ellipsoid(wide, *blobs[0][:2])) > 0.8


def empty_like(name: str) -> Volume:
    _, spacing, origin, tilt = STORED[name]
    return empty(tuple(np.ceil(EXTENT / spacing).astype(int)), spacing, origin, tilt)


def test_a_background_seed_elsewhere_changes_nothing():
    volume, centres, _ = make()
    one = delineate(volume, at(centres[0]))
    other = delineate(volume, [at(centres[0]), at(centres[1], BACKGROUND)])
    np.testing.assert_array_equal(one.mask.array, other.mask.array)
    assert len(other.lesions) == 1


def test_a_lesion_of_which_nothing_is_left_is_refused():
    volume, centres, _ = make()
    alone = delineate(volume, at(centres[3]))
    own = alone.mask.array > 0
    sides = [at(centres[3] + move, BACKGROUND) for move in np.array([(8.0, 0, 0), (-8.0, 0, 0)])]
    carved = delineate(volume, [at(centres[3]), *sides])
    assert 0 < carved.lesions[0].volume_ml < alone.lesions[0].volume_ml
    with pytest.raises(SeedError, match="leave nothing of the lesion"):
        delineate(volume, [at(centres[3]), *[at(volume.to_world(place), BACKGROUND) for place in np.argwhere(own)]])


def test_a_seed_outside_the_scan_or_in_air_is_named():
    volume, centres, _ = make()
    with pytest.raises(SeedError, match="lies outside the scan"):
        delineate(volume, [at(centres[0]), at(centres[1] + 900.0)])
    with pytest.raises(SeedError, match="lies outside the scan"):
        delineate(volume, [at(centres[0]), at(centres[1] - 900.0, BACKGROUND)])
