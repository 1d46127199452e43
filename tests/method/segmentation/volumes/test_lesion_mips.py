from __future__ import annotations

import numpy as np
import pytest

from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.inference.finding.maps import ANGLES
from wslpet.method.inference.pipeline import delineate
from wslpet.method.network.coarse_segmenter import GRID_MM
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, lesion_mips, mip_arrays, mips_from_arrays

SPACING = np.array([5.0, 4.0, 6.0])
LESION_MM = np.array([90.0, 250.0, 330.0])


@pytest.fixture(scope="module")
def ras() -> Volume:
    """A body with one clicked lesion off its centre, and another hot place that nobody clicked."""
    mm = [np.arange(n) * s for n, s in zip((80, 90, 100), SPACING, strict=True)]
    x, y, z = np.meshgrid(*mm, indexing="ij")
    body = ((x - 200) / 150) ** 2 + ((y - 180) / 110) ** 2 < 1
    image = np.where(body & (z > 20) & (z < 580), 1.0, 0.0)
    for centre, suv in ((LESION_MM, 12.0), (np.array([240.0, 150.0, 150.0]), 10.0)):
        far = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
        image += suv * np.exp(-far / (2 * 9.0**2))
    return Volume(image.astype(np.float32), np.diag([*SPACING, 1.0]), "body")


@pytest.fixture(scope="module")
def contours(ras):
    return delineate(ras, Seed("lung", tuple(LESION_MM)), settings=Settings(), sure=True).contours


def test_a_lesion_is_where_it_is_seen_from_each_side(ras, contours):
    mips = lesion_mips(ras, contours)
    assert len(mips) == len(ANGLES)
    middle = (np.array(ras.shape) // 2) * SPACING
    for mip in mips:
        row = np.argwhere(mip.lesions)[:, 0].mean()
        assert row * GRID_MM == pytest.approx((ras.shape[2] - 0.5) * SPACING[2] - LESION_MM[2], abs=GRID_MM + 3)
        # The brightest row of the lesion is the lesion's own, so that image and mask are not mirrored to each other.
        found = np.argwhere(mip.visible)
        hot = np.unravel_index(np.where(mip.lesions, mip.image, 0).argmax(), mip.image.shape)
        assert np.abs(found - hot).max() * GRID_MM < 40 and mip.image[hot] > 8
        assert not (mip.visible & ~mip.lesions).sum() > 0.2 * mip.lesions.sum()
    # Seen from the front, the patient's right is on the left; from the side, the front is on the right.
    front, side = mips[ANGLES.index(0.0)], mips[ANGLES.index(90.0)]
    for mip, axis in ((front, 0), (side, 1)):
        columns = np.flatnonzero((mip.image > 0.5).any(axis=0))
        across = np.argwhere(mip.lesions)[:, 1].mean() - columns.mean()
        assert -across * GRID_MM == pytest.approx(LESION_MM[axis] - (middle - SPACING / 2)[axis], abs=16)


def test_what_looks_like_a_lesion_and_is_not_clicked_is_not_known(ras, contours):
    mips, well = lesion_mips(ras, contours), lesion_mips(ras, ())
    assert any(mip.unknown.any() for mip in mips)
    for mip in mips:
        assert not (mip.unknown & mip.lesions).any() and mip.unknown.mean() < 0.2
    # "No tumour" is said of the whole scan.
    assert not any(mip.unknown.any() or mip.lesions.any() for mip in well)


def test_a_part_of_a_body_teaches_nothing(ras, contours):
    assert lesion_mips(Volume(ras.array[:, :, 30:65], ras.affine, "part"), ()) == ()


def test_mips_survive_their_arrays(ras, contours):
    mips = lesion_mips(ras, contours)
    for one, again in zip(mips, mips_from_arrays(mip_arrays(mips)), strict=True):
        assert np.allclose(one.image, again.image, rtol=1e-3, atol=1e-3) and again.image.dtype == np.float32
        for name in ("lesions", "visible", "unknown"):
            assert np.array_equal(getattr(one, name), getattr(again, name))
    assert mips_from_arrays(mip_arrays(())) == ()
    assert LesionExample((), "lung", "p").mips == ()
