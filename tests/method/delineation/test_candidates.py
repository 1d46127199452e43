from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, label, maximum_filter

from wslpet.method.delineation.basins import Basins
from wslpet.method.delineation.candidates import BACKGROUND_MM, CORE, FRACTIONS, MEASURED, Candidate, measurements

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


def candidates(basins: Basins) -> list[Candidate]:
    found = [one for union in basins.unions() for one in Candidate.from_union(basins, union)]
    assert len(found) > 1
    return found


def start(basins: Basins, one: Candidate) -> int:
    return max(one.union.basins, key=lambda basin: basins.peaks[basin]) if one.from_hottest else one.union.start


def members(basins: Basins, one: Candidate) -> np.ndarray:
    return np.isin(basins.labels, list(one.union.basins))


def in_box(basins: Basins, one: Candidate, level: int, hull: bool) -> np.ndarray:
    """(x, y, z) a component in the whole box."""
    own, start = one.threshold_component(level, hull)
    inside = np.zeros(basins.image.shape, dtype=bool)
    inside[tuple(slice(s, s + n) for s, n in zip(start, own.shape, strict=True))] = own
    return inside


def connected(basins: Basins, one: Candidate, level: int) -> np.ndarray:
    """(x, y, z) what a component should be, its holes left."""
    region = (basins.image > np.float32(one.threshold(level))) & members(basins, one)
    parts, _ = label(region)
    own = parts[tuple(basins.tops[start(basins, one)])]
    return (parts == own) & (own > 0)


def between_planes(region: np.ndarray) -> np.ndarray:
    """(x, y, z) bool: what lies between all planes along a neighbour's direction that bound the region."""
    where, all_of = np.argwhere(region), np.indices(region.shape).reshape(3, -1).T
    inside = np.ones(len(all_of), dtype=bool)
    for normal in product((-1, 0, 1), repeat=3):
        inside &= all_of @ normal <= (where @ normal).max()
    return inside.reshape(region.shape)


def test_the_background_is_the_lower_quartile_around_the_core(case):
    basins, _ = case
    steps = 2 * np.rint(BACKGROUND_MM / SPACING).astype(int) + 1
    for one in candidates(basins):
        assert one.peak == basins.image[members(basins, one)].max()
        core = (basins.image > np.float32(CORE * one.peak)) & members(basins, one)
        around = maximum_filter(core, size=steps) & ~core
        assert one.background == pytest.approx(np.percentile(basins.image[around], 25), rel=1e-6)


def test_a_component_is_what_is_above_its_level_and_connected_to_where_it_started(case):
    basins, _ = case
    for one in candidates(basins):
        for level in range(len(FRACTIONS)):
            expected = connected(basins, one, level)
            if expected.any():
                assert np.array_equal(in_box(basins, one, level, hull=False), binary_fill_holes(expected))


def test_a_hull_lies_between_the_planes_and_takes_in_nothing_hot_of_others(case):
    basins, _ = case
    added = 0
    for one in candidates(basins):
        for level in range(len(FRACTIONS)):
            own = connected(basins, one, level)
            if own.any():
                hot = basins.image > np.float32(one.threshold(level))
                expected = own | (between_planes(own) & ~hot)
                assert np.array_equal(in_box(basins, one, level, hull=True), expected)
                added += expected.sum() - own.sum()
    assert added > 100


def test_what_is_measured_of_a_component_is_what_can_be_seen_of_it(case):
    basins, point = case
    seen = 0
    found = candidates(basins)
    for one, measured in zip(found, measurements(found, basins, point), strict=True):
        assert measured.shape == (2, len(FRACTIONS), len(MEASURED))
        for level, hull in product(range(len(FRACTIONS)), (False, True)):
            own = connected(basins, one, level)
            if not own.any():
                assert measured[int(hull), level, 0] == 0
                continue
            inside = in_box(basins, one, level, True) if hull else own
            around, boundary = binary_dilation(own) & ~own, own & ~binary_erosion(own, border_value=1)
            # What touches the component is counted within the union's box only.
            counted = np.zeros_like(own)
            counted[tuple(slice(c, c + n) for c, n in zip(one.corner, one.component_level.shape, strict=True))] = True
            around &= counted
            above = basins.image[around] > np.float32(one.threshold(level))
            expected = {
                "ml": inside.sum() * SPACING.prod() / 1000,
                "away_mm": np.linalg.norm((np.argwhere(inside).mean(axis=0) - point) * SPACING),
                "mean": basins.image[inside].mean(dtype=np.float64),
                "holds_point": float(inside[tuple(np.rint(point).astype(int))]),
                "touches_box": float(any(inside.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))),
                "boundary_slope": basins.gradient[boundary].mean(dtype=np.float64) if boundary.any() else 0.0,
                "open_boundary": above.mean() if above.size else 0.0,
                "own_share": (basins.labels[inside] == basins.starts[0]).mean(),
                "roughness": boundary.sum() / own.sum() ** (2 / 3),
            }
            row = measured[int(hull), level]
            assert dict(zip(MEASURED, row, strict=True)) == pytest.approx(expected, rel=1e-5, abs=1e-9)
            seen += 1
    assert seen > 2 * len(FRACTIONS)


def test_overlaps_are_counted_for_all_components_at_once(case):
    basins, point = case
    truth = np.linalg.norm((np.indices(basins.image.shape).transpose(1, 2, 3, 0) - point) * SPACING, axis=-1) < 14
    for one in candidates(basins):
        overlaps = one.overlaps(truth)
        for level in range(len(FRACTIONS)):
            own = connected(basins, one, level)
            assert overlaps[0, level] == (own & truth).sum()
            if own.any():
                assert overlaps[1, level] == (in_box(basins, one, level, True) & truth).sum()
