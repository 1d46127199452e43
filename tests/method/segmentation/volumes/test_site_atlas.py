from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.delineation.contours import Contour
from wslpet.method.normal.reference import load_reference
from wslpet.method.normal.unusual import unusual_uptake
from wslpet.method.projection.mip import project
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, lesion_mips
from wslpet.method.segmentation.volumes.site_atlas import LEAST_PEOPLE, MOST_PEOPLE, site_atlas

SPACING = (6.0, 6.0, 6.0)


@pytest.fixture(scope="module")
def well() -> Volume:
    """A lesion-free phantom, RAS."""
    settings = replace(PRESETS["lifelike"], no_tumour_fraction=1.0, mimics=())
    return make_patient(4, settings, SPACING).volume.to_ras()


def hot(volume: Volume, share: tuple[float, float, float]) -> tuple[Volume, tuple[int, int, int]]:
    """The volume with a hot cube at a share of the body's extent, and the cube's centre."""
    body = np.argwhere(volume.array > 0.3)
    low, high = body.min(axis=0), body.max(axis=0)
    x, y, z = np.rint(low + np.array(share) * (high - low)).astype(int).tolist()
    array = volume.array.copy()
    array[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3] = 30.0
    return volume.with_array(array), (x, y, z)


def people(volume: Volume, contours: tuple[Contour, ...], count: int = LEAST_PEOPLE) -> list[LesionExample]:
    mips = tuple(replace(mip, unknown=np.zeros_like(mip.unknown)) for mip in lesion_mips(volume, contours))
    return [LesionExample(mips, "lung", f"patient {n}") for n in range(count)]


@pytest.mark.parametrize("share", [(0.35, 0.4, 0.62), (0.62, 0.6, 0.75)])
def test_what_all_have_is_normal_where_it_lies_and_what_was_clicked_is_not(well, share):
    scan, (x, y, z) = hot(well, share)
    views, shipped = project(scan), load_reference()
    inside = np.ones((5, 5, 5), dtype=bool)
    clicked = Contour(inside, (x - 2, y - 2, z - 2), np.zeros(0))
    seen = {}
    for name, contours in (("normal", ()), ("clicked", (clicked,))):
        atlas = site_atlas(people(scan, contours))
        found = unusual_uptake(views, replace(shipped, atlas=atlas))
        seen[name] = found["coronal"][x, z], found["sagittal"][y, z]
    assert max(seen["normal"]) < 1e-6 and min(seen["clicked"]) > 0.4


def test_uptake_that_nobody_clicked_but_the_segmenter_suspects_is_not_normal(well):
    scan, (x, y, z) = hot(well, (0.35, 0.4, 0.62))
    known = people(scan, ())
    mips = tuple(replace(mip, unknown=mip.image > 15) for mip in known[0].mips)
    atlas = site_atlas([replace(one, mips=mips) for one in known])
    found = unusual_uptake(project(scan), replace(load_reference(), atlas=atlas))
    assert min(found["coronal"][x, z], found["sagittal"][y, z]) > 0.4


@pytest.mark.slow
def test_too_few_people_or_parts_of_bodies_have_no_atlas_and_the_last_ones_count(well):
    known = people(well, (), LEAST_PEOPLE)
    assert site_atlas(known[1:]) is None
    assert site_atlas([replace(one, mips=()) for one in known]) is None
    assert site_atlas(known * 11).people == MOST_PEOPLE
