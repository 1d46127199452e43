from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_fill_holes, label

from wslpet.method.delineation.candidates import BACKGROUND_STEPS, CORE, FRACTIONS, MEASURED, Body
from wslpet.method.delineation.watershed import Basins

SPACING = np.array([4.0, 3.0, 2.5])


@pytest.fixture(scope="module", params=[(18, 14, 20), (5, 3, 17)], ids=["inside", "at the edge"])
def case(request) -> tuple[Basins, np.ndarray]:
    """Basins of three hills with noise, SUV, and the voxel of one of them."""
    shape, point = (30, 28, 36), np.array(request.param) + 0.3
    index = np.indices(shape).transpose(1, 2, 3, 0)
    box = np.random.default_rng(0).normal(0.6, 0.1, shape)
    for height, place, sd in ((9, point, 9), (6, point + np.array([9, 3, 2]), 12), (12, [24, 22, 9], 10)):
        box += height * np.exp(-(((index - place) * SPACING) ** 2).sum(axis=-1) / (2 * sd**2))
    return Basins.of(box.astype(np.float32), SPACING, point), point


def bodies(basins: Basins) -> list[Body]:
    found = [Body.of(basins, union) for union in basins.unions()]
    assert len(found) > 1
    return found


def in_box(basins: Basins, body: Body) -> np.ndarray:
    """(x, y, z) the body's image in the whole box."""
    image = np.full(basins.image.shape, -np.inf, dtype=np.float32)
    image[tuple(slice(c, c + n) for c, n in zip(body.corner, body.image.shape, strict=True))] = body.image
    return image


def test_a_body_is_its_basins_and_no_other_voxel(case):
    basins, _ = case
    for body in bodies(basins):
        members = np.isin(basins.labels, list(body.union.basins))
        assert np.array_equal(in_box(basins, body), np.where(members, basins.image, np.float32(-np.inf)))
        assert body.peak == basins.image[members].max()


def test_the_background_is_the_lower_quartile_around_the_core(case):
    basins, _ = case
    for body in bodies(basins):
        core = in_box(basins, body) > np.float32(CORE * body.peak)
        around = binary_dilation(core, iterations=BACKGROUND_STEPS) & ~core
        assert body.background == pytest.approx(np.percentile(basins.image[around], 25), rel=1e-12)


def test_what_is_measured_of_a_cut_is_what_can_be_seen_of_it(case):
    basins, point = case
    seen = 0
    for body in bodies(basins):
        measured = body.measured(basins, point)
        assert measured.shape == (len(FRACTIONS), len(MEASURED))
        for fraction, row in zip(FRACTIONS, measured, strict=True):
            own, start = body.cut(fraction)
            inside = np.zeros(basins.image.shape, dtype=bool)
            inside[tuple(slice(s, s + n) for s, n in zip(start, own.shape, strict=True))] = own
            threshold = np.float32(body.threshold(fraction))
            parts, _ = label(in_box(basins, body) > threshold)
            largest = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
            assert np.array_equal(inside, binary_fill_holes(np.pad(largest, 1))[1:-1, 1:-1, 1:-1])
            around = binary_dilation(inside) & ~inside
            rim = inside & binary_dilation(~inside)
            away = (np.argwhere(inside).mean(axis=0) - point) * SPACING
            expected = {
                "ml": inside.sum() * SPACING.prod() / 1000,
                "away_mm": np.linalg.norm(away),
                "slope": basins.gradient[rim].mean(dtype=np.float64),
                "cut": (basins.image[around] > threshold).mean(),
                "holds_point": float(inside[tuple(np.rint(point).astype(int))]),
                "touches_box": float(any(inside.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))),
            }
            assert dict(zip(MEASURED, row, strict=True)) == pytest.approx(expected, rel=1e-6)
            seen += 1
    assert seen > 2 * len(FRACTIONS)
