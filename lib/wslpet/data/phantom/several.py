"""Phantom patients with several lesions: those of `make_patient`, and more in soft tissue, lung and marrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.volume import Volume
from wslpet.data.phantom.body.anatomy import stream
from wslpet.data.phantom.patient import CLICK_SD_MM, READERS_SHARE, Patient, make_patient
from wslpet.data.phantom.settings import CohortSettings

# Radius of a lesion, mm, and its SUV: median and SD of the log.
RADIUS_MM = (8.0, 0.4)
SMALLEST_MM, LARGEST_MM = 4.5, 20.0
SUV = (7.0, 0.4)
# Share of lesions that lie beside another one, with a gap of so many mm between their surfaces.
BESIDE, GAP_MM = 0.35, (2.0, 8.0)
APART_MM = 25.0
# Lesions are put where the surroundings have SUV in this range: nobody tells one in the bladder.
ROOM_SUV = (0.25, 2.5)
TRIES = 40
# Where a lesion is, and its share of each voxel as a scanner shows it.
_Painted = tuple[tuple[slice, ...], FloatArray]
# Centre, mm from the first voxel, and radius.
_Sphere = tuple[FloatArray, float]


@dataclass(frozen=True, eq=False)
class SeveralLesions:
    """A phantom patient with several lesions.

    Parameters
    ----------
    volume : SUV, RAS.
    lesions : uint8 (x, y, z), numbers from 1, as a reader would draw them; the primary is 1.
    clicks : on each lesion, mm RAS.
    mimics : names of benign uptake.
    """

    cancer_type: str
    volume: Volume
    lesions: Array
    clicks: list[FloatArray]
    mimics: list[str]


def patient_with(
    lesions: int, seed: int, settings: CohortSettings, voxel_mm: tuple[float, float, float] | None = None
) -> SeveralLesions:
    """Simulate a patient with so many lesions, fewer where there is no room.

    Parameters
    ----------
    seed, settings, voxel_mm : see `make_patient`.
    """
    patient, rng = make_patient(seed, settings, voxel_mm), stream(seed, "several lesions")
    volume = patient.volume
    scan, spacing = volume.array.copy(), np.array(volume.spacing)
    painted = [_primary(patient)]
    places = [_sphere(painted[0], spacing)]
    smooth = ndimage.gaussian_filter(scan, 10.0 / 2.355 / spacing)
    room = (smooth > ROOM_SUV[0]) & (smooth < ROOM_SUV[1])
    for _ in range(TRIES * lesions):
        if len(places) == lesions:
            break
        radius = float(np.clip(RADIUS_MM[0] * np.exp(RADIUS_MM[1] * rng.normal()), SMALLEST_MM, LARGEST_MM))
        centre = _place(rng, room, spacing, places, radius)
        if centre is None:
            continue
        around = float(smooth[tuple(np.rint(centre / spacing).astype(int))])
        suv = max(SUV[0] * np.exp(SUV[1] * rng.normal()), 2.0 * around)
        painted.append(_paint(rng, scan, spacing, (centre, radius), suv, patient.description["fwhm_mm"]))
        places.append((centre, radius))
    numbers = _numbered(painted, scan.shape)
    clicks = [_click(rng, volume, numbers == number) for number in range(1, len(painted) + 1)]
    scanned = volume.with_array(np.maximum(scan, 0))
    return SeveralLesions(patient.cancer_type, scanned, numbers, clicks, patient.description["mimics"])


def _numbered(painted: Sequence[_Painted], shape: tuple[int, ...]) -> Array:
    numbers, highest = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.float32)
    for number, (window, share) in enumerate(painted, start=1):
        own = (share >= READERS_SHARE) & (share > highest[window])
        numbers[window][own] = number
        highest[window] = np.maximum(highest[window], share)
    return numbers


def _primary(patient: Patient) -> _Painted:
    parts, _ = ndimage.label(patient.truth.array, np.ones((3, 3, 3)))
    centre = np.rint(patient.volume.to_index(np.array(patient.lesions[0].centre))).astype(int)
    number = parts[tuple(centre)] or np.bincount(parts[parts > 0]).argmax()
    window = ndimage.find_objects(parts)[number - 1]
    return window, (parts[window] == number).astype(np.float32)


def _sphere(painted: _Painted, spacing: FloatArray) -> _Sphere:
    window, inside = painted
    voxels = np.argwhere(inside > 0) + [w.start for w in window]
    middle = voxels.mean(axis=0)
    return middle * spacing, float(np.linalg.norm((voxels - middle) * spacing, axis=1).max())


def _place(
    rng: np.random.Generator, room: BoolArray, spacing: FloatArray, places: Sequence[_Sphere], radius: float
) -> FloatArray | None:
    """Where a lesion has room, mm from the first voxel; beside another one now and then."""
    if rng.random() < BESIDE:
        other, own = places[int(rng.integers(len(places)))]
        away = rng.normal(size=3)
        centre: FloatArray = other + away / np.linalg.norm(away) * (own + radius + rng.uniform(*GAP_MM))
    else:
        voxels = rng.integers(0, room.shape, size=(2000, 3))
        voxels = voxels[room[tuple(voxels.T)]]
        if not len(voxels):
            return None
        centre = voxels[0] * spacing
        if any(np.linalg.norm(centre - other) < own + radius + APART_MM for other, own in places):
            return None
    voxel = np.rint(centre / spacing).astype(int)
    inside = bool((voxel >= 0).all() and (voxel < room.shape).all() and room[tuple(voxel)])
    free = all(np.linalg.norm(centre - other) >= own + radius + GAP_MM[0] - 0.1 for other, own in places)
    return centre if inside and free else None


def _paint(
    rng: np.random.Generator, scan: Array, spacing: FloatArray, sphere: _Sphere, suv: float, fwhm_mm: float
) -> _Painted:
    """Paint an ellipsoid of uneven uptake into the scan, blurred; its share is that without the unevenness."""
    centre, radius = sphere
    reach = np.ceil((1.6 * radius + 2 * fwhm_mm) / spacing).astype(int)
    middle = np.rint(centre / spacing).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, scan.shape)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    fine = 3
    ticks = [(np.arange((b - a) * fine) + 0.5) / fine - 0.5 + a for a, b in zip(low, high, strict=True)]
    mm = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1) * spacing - centre
    stretch = np.exp(rng.normal(0, 0.15, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    solid = ((mm @ turn / (radius * stretch)) ** 2).sum(axis=-1) <= 1
    shape = high - low
    inside = solid.reshape(shape[0], fine, shape[1], fine, shape[2], fine).mean(axis=(1, 3, 5)).astype(np.float32)
    pattern = ndimage.gaussian_filter(rng.standard_normal(inside.shape), 0.4 * radius / spacing)
    pattern = np.clip(1 + 0.12 * pattern / max(pattern.std(), 1e-6), 0.3, None).astype(np.float32)
    sigma = fwhm_mm / 2.355 / spacing
    share = ndimage.gaussian_filter(inside, sigma)
    grain = ndimage.gaussian_filter(rng.standard_normal(inside.shape), 0.7 * sigma)
    uptake = ndimage.gaussian_filter(inside * pattern, sigma) * suv * (1 + 0.08 * grain / grain.std())
    scan[window] = scan[window] * (1 - share) + uptake
    return window, share / float(share.max())


def _click(rng: np.random.Generator, volume: Volume, inside: BoolArray) -> FloatArray:
    voxels = np.argwhere(inside)
    centre = volume.to_world(voxels.mean(axis=0)) + rng.normal(0, CLICK_SD_MM, 3)
    nearest = voxels[np.linalg.norm((volume.to_world(voxels) - centre), axis=1).argmin()]
    place = np.rint(volume.to_index(centre)).astype(int)
    held = (place >= 0).all() and (place < inside.shape).all() and inside[tuple(place)]
    return centre if held else volume.to_world(nearest)
