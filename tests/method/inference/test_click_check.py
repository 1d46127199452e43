"""Clicks on nothing, on plain background, and on lesions; in any geometry."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.blobs import STORAGES, empty, scan, stored_as
from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.click_check import MISS_MM
from wslpet.method.inference.pipeline import check_click, delineate

LESION = np.array([60.0, 50.0, 80.0])  # mm from the first voxel
PLAIN = np.array([120.0, 110.0, 40.0])
AIR = np.array([20.0, 20.0, 200.0])
SETTINGS = settings_from()


def patient(spacing=(4.0, 4.0, 4.0), hot: float = 8.0) -> Volume:
    """A body of SUV 1 with one lesion and a ripple of its background; in its upper half only air."""
    volume = empty(
        tuple(np.ceil(np.array([150.0, 140.0, 240.0]) / spacing).astype(int)), spacing, (-310.0, 95.0, 700.0)
    )
    blobs = [(volume.to_world(mm / np.array(spacing)), (12, 12, 12), suv) for mm, suv in ((LESION, hot), (PLAIN, 1.4))]
    found = scan(volume, blobs)
    found.array[:, :, round(130 / spacing[2]) :] = 0
    return found


def at(volume: Volume, mm, index: bool = False) -> Seed:
    x, y, z = volume.to_world(np.array(mm) / volume.spacing)
    i, j, k = volume.to_index(np.array([x, y, z]))
    return Seed("lung", (x, y, z), (i, j, k) if index else None)


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (4.06, 4.06, 2.0), (3.0, 5.0, 6.5), (1.5, 1.5, 1.5)])
def test_a_click_on_a_lesion_is_followed_and_one_in_air_is_refused(spacing):
    volume = patient(spacing)
    for miss in ((0, 0, 0), (8, -7, 6)):
        assert delineate(volume, at(volume, LESION + miss)).lesions[0].volume_ml > 2
    with pytest.raises(SeedError, match=r"nothing stands out within 15 mm of .* \(SUV 0\.0\); click on the tumour"):
        delineate(volume, at(volume, AIR))


@pytest.mark.parametrize("permutation, flips", STORAGES[::7])
def test_the_refusal_names_the_voxel_as_it_was_sent(permutation, flips):
    stored = stored_as(patient(), permutation, flips)
    x, y, z = patient().to_world(AIR / 4)
    i, j, k = np.rint(stored.to_index(np.array([x, y, z]))).tolist()
    with pytest.raises(SeedError, match=rf"15 mm of \[{i:.0f}, {j:.0f}, {k:.0f}\] \(SUV 0\.0\)"):
        delineate(stored, Seed("lung", (x, y, z), (i, j, k)))


def test_a_lesion_is_never_further_from_its_click_than_a_click_can_miss():
    volume = patient()
    for z in np.arange(84, 130, 4.0):
        click = at(volume, (LESION[0], LESION[1], z))
        result = delineate(volume, click, checked=False)
        if result.contour is None:
            assert "nothing stands out" in result.doubt and result.lesions == ()
            continue
        inside = volume.to_world(np.argwhere(result.contour.inside) + result.contour.start)
        surface = np.maximum(np.abs(inside - click.position) - 2, 0)  # of voxels of 4 mm
        assert np.linalg.norm(surface, axis=1).min() <= MISS_MM


def test_a_click_on_plain_background_is_questioned_and_may_be_confirmed():
    volume = patient()
    click = at(volume, PLAIN)
    with pytest.raises(
        SeedError,
        match=r"hardly stands out \(SUVmean 1\.\d, its surroundings 1\.\d\); .*--sure in a terminal, or with sure=True",
    ):
        delineate(volume, click)
    sure = delineate(volume, click, sure=True)
    assert sure.lesions and "hardly stands out" in sure.doubt
    assert delineate(volume, at(volume, LESION)).doubt == ""


def test_nobody_can_confirm_a_click_in_air():
    volume = patient()
    with pytest.raises(SeedError, match="nothing stands out"):
        delineate(volume, at(volume, AIR), sure=True)


def test_the_check_alone_says_what_the_delineation_says():
    volume = patient()
    check_click(volume, at(volume, LESION), SETTINGS)
    check_click(volume, at(volume, PLAIN), SETTINGS, sure=True)
    for mm, sure in ((PLAIN, False), (AIR, False), (AIR, True)):
        with pytest.raises(SeedError) as told:
            check_click(volume, at(volume, mm), SETTINGS, sure)
        with pytest.raises(SeedError) as delineated:
            delineate(volume, at(volume, mm), settings=SETTINGS, sure=sure)
        assert str(told.value) == str(delineated.value)


def test_no_tumour_is_nowhere():
    volume = patient()
    nowhere = Seed(NO_TUMOUR, at(volume, AIR).position)
    check_click(volume, nowhere, SETTINGS)
    assert delineate(volume, nowhere).lesions == ()


def test_a_click_in_the_cold_core_of_a_lesion_is_on_it():
    volume = empty((50, 46, 52), (4.0, 4.0, 4.0), (-310.0, 95.0, 700.0))
    centre = volume.to_world(np.array([24.0, 22.0, 26.0]))
    volume = scan(volume, [(centre, (32, 32, 32), 9.0), (centre, (20, 20, 20), 0.6)])
    result = delineate(volume, Seed("lung", tuple(centre)))
    inside = volume.to_world(np.argwhere(result.contour.inside) + result.contour.start)
    assert np.linalg.norm(inside - centre, axis=1).max() > 26 and result.doubt == ""


def test_a_faint_lesion_stands_out():
    volume = patient(hot=2.5)
    assert delineate(volume, at(volume, LESION + np.array([4.0, -4, 4]))).doubt == ""
