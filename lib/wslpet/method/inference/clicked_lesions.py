"""Several seeds in one scan → lesions that share no voxel, less what background seeds cut off (ours).

Each seed is delineated by itself. Where the contours of two seeds overlap, the valley between the seeds decides:
without one, both are in one lesion; with one, the image is cut at it (a watershed from the seeds), and each contour
keeps what lies on its side. A background seed inside a contour is one more side, which nobody keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.errors import SeedError
from wslpet.core.limits import CORES
from wslpet.core.seeds import Annotation, ContourChoice, Seed
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.click_check import Clicked, clicked
from wslpet.method.inference.contour_choice import chosen_contour
from wslpet.method.inference.localisation import overlap

# Two seeds with a pass between them at this share of the lower of their maxima are in one lesion.
ONE_LESION = 0.8
# A seed's maximum is the highest voxel of its contour this near: clicks are off a centre by about 4 mm (SD).
TOP_MM = 8.0
# The valley is looked for in an image that is smoothed a little, as noise makes valleys, too.
VALLEY_FWHM_MM = 4.0
_CORNERS = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class ClickedLesions:
    """The lesions at the seeds of an annotation.

    Parameters
    ----------
    contours : of each lesion; they share no voxel.
    seeds : of each lesion, which seeds are in it, counted from 0; the first one gave the contour.
    doubts : of each seed, why there may be no tumour at it; empty if there is no doubt.
    choices : of each lesion, how its contour was chosen.
    """

    contours: tuple[Contour, ...]
    seeds: tuple[tuple[int, ...], ...]
    doubts: tuple[str, ...]
    choices: tuple[ContourChoice, ...]


def clicked_lesions(ras: Volume, annotation: Annotation, checked: bool = True, sure: bool = False) -> ClickedLesions:
    """Delineate the lesions at the seeds of an annotation.

    Parameters
    ----------
    ras : (x, y, z) in SUV.
    annotation : whose seeds lie in the scan.
    checked : refuse a seed without a lesion; else it has none.
    sure : whether doubtful seeds are delineated anyway, since the annotator confirmed them.

    Raises
    ------
    SeedError
        when nothing stands out at a seed, or a background seed takes all of a lesion.
    """
    points = [ras.to_index(np.array(seed.position)) for seed in annotation.seeds]
    hits = _each(ras, points, annotation.seeds)
    if checked:
        for hit in hits:
            hit.check(sure)
    places, contours, choices = [], [], []
    for number, (hit, point, seed) in enumerate(zip(hits, points, annotation.seeds, strict=True)):
        if hit.contour is not None:
            contour, choice = chosen_contour(ras, point, seed, hit.contour)
            places.append(number)
            contours.append(contour)
            choices.append(choice)
    background = [ras.to_index(np.array(seed.position)) for seed in annotation.background]
    groups, contours = _apart(ras, [points[n] for n in places], contours, background)
    seeds = tuple(tuple(places[n] for n in group) for group in groups)
    for own, contour in zip(seeds, contours, strict=True):
        if not contour.inside.any():
            raise SeedError(
                f"background points leave nothing of the lesion at {_place(annotation.seeds[own[0]])}; delete one"
            )
    doubts = tuple(hit.doubt for hit in hits)
    return ClickedLesions(tuple(contours), seeds, doubts, tuple(choices[group[0]] for group in groups))


def _each(ras: Volume, points: Sequence[Array], seeds: Sequence[Seed]) -> list[Clicked]:
    if len(seeds) == 1:
        return [clicked(ras, points[0], seeds[0])]
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(lambda point, seed: clicked(ras, point, seed), points, seeds))


def _apart(
    ras: Volume, points: Sequence[Array], contours: Sequence[Contour], background: Sequence[Array]
) -> tuple[list[list[int]], list[Contour]]:
    """Which seeds each lesion has, and its contour, so that no two contours overlap."""
    groups = [[n] for n in range(len(contours))]
    touching = [(a, b) for a, b in combinations(range(len(contours)), 2) if overlap(contours[a], contours[b])]
    for a, b in touching:
        one, other = (next(group for group in groups if n in group) for n in (a, b))
        if one is not other and _in_one_lesion(ras, (points[a], points[b]), (contours[a], contours[b])):
            one.extend(other)
            groups.remove(other)
    groups = sorted(sorted(group) for group in groups)
    firsts = [group[0] for group in groups]
    kept = {n: contours[n] for n in firsts}
    for cluster in _clusters(firsts, touching, groups):
        near = [point for point in background if any(_holds(contours[n], point) for n in cluster)]
        if len(cluster) > 1 or near:
            kept |= _cut(ras, {n: (points[n], contours[n]) for n in cluster}, near)
    return groups, [kept[n] for n in firsts]


def _clusters(firsts: list[int], touching: list[tuple[int, int]], groups: list[list[int]]) -> list[list[int]]:
    """Lesions, each by its first seed, that are linked by overlapping contours."""
    first = {n: group[0] for group in groups for n in group}
    clusters = [{n} for n in firsts]
    for a, b in touching:
        one, other = (next(cluster for cluster in clusters if first[n] in cluster) for n in (a, b))
        if one is not other:
            one |= other
            clusters.remove(other)
    return [sorted(cluster) for cluster in clusters]


def _cut(ras: Volume, lesions: dict[int, tuple[Array, Contour]], background: Sequence[Array]) -> dict[int, Contour]:
    """Cut contours at the valleys between their seeds and the background seeds; each keeps the part with its seed."""
    from skimage.segmentation import watershed  # slow to import

    window = _around([contour for _, contour in lesions.values()])
    start = np.array([w.start for w in window])
    image = _smoothed(ras, window)
    mask, markers = np.zeros(image.shape, dtype=bool), np.zeros(image.shape, dtype=np.int32)
    insides = {n: _placed(contour, window) for n, (_, contour) in lesions.items()}
    for inside in insides.values():
        mask |= inside
    tops = {n: _top(image, insides[n], point - start, ras.spacing) for n, (point, _) in lesions.items()}
    for number, top in enumerate(tops.values(), start=1):
        markers[top] = number
    for point in background:
        markers[tuple(np.rint(point).astype(int) - start)] = len(lesions) + 1
    sides = watershed(-image, markers, mask=mask)
    kept = {}
    for number, n in enumerate(lesions, start=1):
        parts, _ = ndimage.label(insides[n] & (sides == number), _CORNERS)
        kept[n] = _contour((parts > 0) & (parts == parts[tops[n]]), start, lesions[n][1])
    return kept


def _in_one_lesion(ras: Volume, points: tuple[Array, Array], contours: tuple[Contour, Contour]) -> bool:
    """Whether no valley that counts lies between two seeds, within what their contours hold."""
    window = _around(contours)
    start = np.array([w.start for w in window])
    image = _smoothed(ras, window)
    insides = [_placed(contour, window) for contour in contours]
    one, other = (
        _top(image, inside, point - start, ras.spacing) for inside, point in zip(insides, points, strict=True)
    )
    if one == other:
        return True
    lower = float(min(image[one], image[other]))
    image = np.where(insides[0] | insides[1], image, -np.inf)
    parts, _ = ndimage.label(image >= ONE_LESION * lower, _CORNERS)
    return bool(parts[one] == parts[other])


def _top(image: Array, inside: Array, point: Array, spacing: tuple[float, float, float]) -> tuple[int, ...]:
    """Hottest voxel of a contour within `TOP_MM` of a point, or the nearest one."""
    voxels = np.argwhere(inside)
    away = np.linalg.norm((voxels - point) * spacing, axis=1)
    near = voxels[away <= max(TOP_MM, float(away.min()))]
    return tuple(near[image[tuple(near.T)].argmax()].tolist())


def _smoothed(ras: Volume, window: tuple[slice, ...]) -> Array:
    image = np.ascontiguousarray(ras.array[window], dtype=np.float32)
    smooth: Array = ndimage.gaussian_filter(image, VALLEY_FWHM_MM / 2.355 / np.array(ras.spacing), mode="nearest")
    return smooth


def _around(contours: Sequence[Contour]) -> tuple[slice, ...]:
    """The smallest window with all of them."""
    ends = [[(own.start, own.stop) for own in contour.window] for contour in contours]
    return tuple(slice(min(a for a, _ in axis), max(b for _, b in axis)) for axis in zip(*ends, strict=True))


def _placed(contour: Contour, window: tuple[slice, ...]) -> Array:
    """A contour in a window that holds it."""
    inside = np.zeros(tuple(w.stop - w.start for w in window), dtype=bool)
    own = tuple(slice(o.start - w.start, o.stop - w.start) for o, w in zip(contour.window, window, strict=True))
    inside[own] = contour.inside
    return inside


def _contour(inside: Array, start: Array, before: Contour) -> Contour:
    """Of a mask in a window, in its own extent; empty as it is."""
    if not inside.any():
        return replace(before, inside=np.zeros((1, 1, 1), dtype=bool))
    extent = ndimage.find_objects(inside.astype(np.uint8))[0]
    x, y, z = (start + [w.start for w in extent]).tolist()
    return replace(before, inside=np.ascontiguousarray(inside[extent]), start=(x, y, z))


def _holds(contour: Contour, point: Array) -> bool:
    place = np.rint(point).astype(int) - contour.start
    if (place < 0).any() or (place >= contour.inside.shape).any():
        return False
    return bool(contour.inside[tuple(place)])


def _place(seed: Seed) -> str:
    return str(list(seed.position if seed.index is None else seed.index))
