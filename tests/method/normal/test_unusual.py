from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.blobs import stored_as
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.normal.unusual import unusual_uptake
from wslpet.method.projection.mip import project

SPACING = (6.0, 6.0, 6.0)


@pytest.fixture(scope="module")
def well() -> Volume:
    """A lesion-free phantom, RAS."""
    settings = replace(PRESETS["lifelike"], no_tumour_fraction=1.0, mimics=())
    return make_patient(4, settings, SPACING).volume.to_ras()


@pytest.mark.parametrize("storage", [((0, 1, 2), (False, False, False)), ((2, 0, 1), (True, False, True))])
@pytest.mark.parametrize("share", [(0.38, 0.5, 0.62), (0.6, 0.42, 0.75)])
def test_a_hot_place_is_unusual_where_it_lies(well, storage, share):
    body = np.argwhere(well.array > 0.3)
    low, high = body.min(axis=0), body.max(axis=0)
    x, y, z = np.rint(low + np.array(share) * (high - low)).astype(int)
    array = well.array.copy()
    array[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 30.0
    stored = stored_as(well.with_array(array), *storage)
    found, before = (unusual_uptake(project(volume.to_ras())) for volume in (stored, well))
    for view, u in (("coronal", x), ("sagittal", y)):
        assert found[view].shape == before[view].shape == (well.shape[0 if view == "coronal" else 1], well.shape[2])
        new = np.argwhere(found[view] > before[view] + 0.2)
        assert len(new) and np.abs(new - (u, z)).max() <= 1
        assert found[view][u, z] > before[view][u, z] + 0.2


def test_little_of_a_lesion_free_scan_is_unusual(well):
    for values in unusual_uptake(project(well)).values():
        assert values.min() >= 0 and values.max() <= 1 and (values > 0).mean() < 0.03


def test_air_and_noise_are_not_unusual(well):
    quiet = Volume(np.where(well.array > 1.2, 1.2, well.array), well.affine, "quiet")
    assert all(not values.any() for values in unusual_uptake(project(quiet)).values())
