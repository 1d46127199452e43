"""Simulated crops of scans: clusters of nodes, lesions beside hot organs, large patchy lesions.

The whole-body phantoms have none of these. A scene is a box with one or several lesions, one of which is clicked. It is
simulated on a scanner's grid, and some are resampled to a finer grid, as published crops are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.data.phantom.body.anatomy import stream
from wslpet.data.phantom.patient import READERS_SHARE
from wslpet.data.phantom.scan.scanner import blur

KINDS = ("one", "cluster", "large")
SPACINGS = ((4.07, 4.07, 3.0), (3.54, 3.54, 3.38), (4.69, 4.69, 3.27), (5.47, 5.47, 3.27), (3.91, 3.91, 3.27))
FWHM_MM = (5.0, 9.0)
# SD of the noise at SUV 1, as a share; it grows as activity to the 0.65.
NOISE = (0.03, 0.15)
NOISE_POWER = 0.65
CLICK_SD_MM = 4.0


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated crop.

    Parameters
    ----------
    kind : one of `KINDS`.
    volume : (x, y, z) SUV.
    truth : (x, y, z) bool, the clicked lesion as a reader would draw it.
    click : (3,) voxel.
    """

    kind: str
    volume: Volume
    truth: Array
    click: Array


def make_scene(seed: int) -> Scene:
    """Simulate one scene; the kind is that of `seed` modulo the number of kinds."""
    rng = stream(seed, "scene")
    kind = KINDS[seed % len(KINDS)]
    spacing = np.array(SPACINGS[rng.integers(len(SPACINGS))])
    radius = _radius(rng, kind)
    half = np.clip(2.0 * radius + 45.0, 55.0, 190.0)
    shape = np.ceil(2 * half / spacing).astype(int)
    mm = (np.indices(shape) - (shape[:, None, None, None] - 1) / 2) * spacing[:, None, None, None]
    activity = _surroundings(rng, mm, spacing, kind)
    own = _blob(rng, mm, spacing, np.zeros(3), radius, rng.uniform(0.05, 0.3 if kind == "large" else 0.15))
    others = _others(rng, mm, spacing, radius, kind)
    suv = float(np.exp(rng.normal(np.log(7.0), 0.6)))
    around = float(np.percentile(activity[own > 0.5], 80))
    value = max(suv, rng.uniform(1.6, 3.0) * around)
    pattern = _pattern(rng, own, spacing, radius, kind)
    for inside, share in others:
        activity += inside * (max(value * share, 1.5 * around) - activity)
    activity += own * (value * pattern - activity)
    fwhm = rng.uniform(*FWHM_MM)
    scan = blur(activity.astype(np.float32), fwhm, spacing)
    blurred = blur(own.astype(np.float32), fwhm, spacing)
    rivals = [blur(inside.astype(np.float32), fwhm, spacing) for inside, _ in others]
    grain = gaussian_filter(rng.standard_normal(scan.shape), fwhm * rng.uniform(0.5, 0.9) / 2.355 / spacing)
    scan += rng.uniform(*NOISE) * grain / grain.std() * np.maximum(scan, 0) ** NOISE_POWER
    blurred = np.where(np.max(rivals, axis=0) > blurred, 0, blurred) if rivals else blurred
    if kind != "large" and rng.random() < 0.3:
        step = np.array([1.0, 1.0, rng.choice([1.0, 3.0])])
        crop = tuple(slice(int(n * 0.22), n - int(n * 0.22)) for n in scan.shape)
        scan, blurred = (zoom(array[crop], spacing / step, order=1) for array in (scan, blurred))
        spacing = step
    truth = blurred >= READERS_SHARE * blurred.max()
    volume = Volume(np.maximum(scan, 0).astype(np.float32), np.diag([*spacing, 1.0]), "SUV", f"scene-{seed}")
    return Scene(kind, volume, truth, simulated_click(rng, truth, spacing).astype(float))


def _radius(rng: np.random.Generator, kind: str) -> float:
    """Radius (mm) of a sphere of the lesion's volume: 0.3 to 30 ml; 10 ml to 2 litres for large lesions."""
    low, high = (13.0, 78.0) if kind == "large" else (4.2, 19.0)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _blob(rng: np.random.Generator, mm: Array, spacing: Array, centre: Array, radius: float, rough: float) -> Array:
    """Share of each voxel inside a rough ellipsoid."""
    stretch = np.exp(rng.normal(0, 0.22, 3))
    radii = radius * stretch / np.prod(stretch) ** (1 / 3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    along = np.tensordot(turn, mm - centre[:, None, None, None], axes=1) / radii[:, None, None, None]
    level = 1 - np.sqrt((along**2).sum(axis=0)) + rough * _field(rng, mm.shape[1:], 0.45 * radius / spacing)
    share: Array = np.clip(level * radius / spacing.mean() + 0.5, 0, 1)
    return share


def _field(rng: np.random.Generator, shape: tuple[int, ...], sigma: Array) -> Array:
    smooth = gaussian_filter(rng.standard_normal(shape), np.maximum(sigma, 0.3))
    scaled: Array = smooth / max(float(smooth.std()), 1e-9)
    return scaled


def _surroundings(rng: np.random.Generator, mm: Array, spacing: Array, kind: str) -> Array:
    """Uneven uptake of soft tissue or lung, with an edge to another tissue, SUV (x, y, z)."""
    base = rng.uniform(0.3, 2.2)
    activity: Array = base * np.exp(rng.uniform(0.05, 0.3) * _field(rng, mm.shape[1:], rng.uniform(8, 25) / spacing))
    normal = rng.normal(size=3)
    side = np.tensordot(normal / np.linalg.norm(normal), mm, axes=1) - rng.uniform(-10, 60)
    activity = np.where(side > 0, activity * rng.uniform(0.3, 2.5), activity)
    if kind == "cluster" and rng.random() < 0.5:  # muscle and mucosa, warm bands between the nodes
        band = _field(rng, mm.shape[1:], np.array([6.0, 6.0, 18.0]) / spacing)
        activity = activity * (1 + rng.uniform(0.3, 1.5) * np.clip(band, 0, 2))
    if kind == "large":  # a limb: air beyond it
        far = rng.uniform(60, 150)
        activity = np.where(np.hypot(mm[0], mm[1]) > far, 0.02, activity)
    return activity


def _others(rng: np.random.Generator, mm: Array, spacing: Array, radius: float, kind: str) -> list[tuple[Array, float]]:
    """Lesions and hot organs near the clicked lesion: (share of each voxel inside, uptake relative to the lesion's)."""
    number = {"one": int(rng.integers(0, 2)), "cluster": int(rng.integers(2, 11)), "large": int(rng.integers(0, 2))}[
        kind
    ]
    found = []
    for _ in range(number):
        organ = kind != "cluster" or rng.random() < 0.15
        size = rng.uniform(12, 35) if organ else float(np.exp(rng.uniform(np.log(4.2), np.log(15.0))))
        way = rng.normal(size=3)
        gap = rng.uniform(3, 28) if organ else rng.uniform(-1, 12)
        centre = way / np.linalg.norm(way) * (1.15 * radius + 1.1 * size + gap)
        share = float(np.exp(rng.normal(0.2, 0.6)))
        found.append((_blob(rng, mm, spacing, centre, size, 0.08), share))
    return found


def _pattern(rng: np.random.Generator, own: Array, spacing: Array, radius: float, kind: str) -> Array:
    """Relative uptake of the lesion: textured. A large lesion is patchy, and a part of it may have no uptake."""
    shape = own.shape
    texture = rng.uniform(0.05, 0.7 if kind == "large" else 0.2)
    pattern = np.exp(texture * _field(rng, shape, np.clip(0.35 * radius, 5, 14) / spacing))
    if kind == "large" and rng.random() < 0.6:
        deep = blur(own.astype(np.float32), 1.2 * radius, spacing)
        deep = deep / deep.max() + rng.uniform(0.05, 0.35) * _field(rng, shape, 0.5 * radius / spacing)
        cold = np.clip((deep - np.quantile(deep[own > 0.5], rng.uniform(0.35, 0.9))) * 8, 0, 1)
        pattern *= 1 - rng.uniform(0.6, 0.95) * cold
    scaled: Array = pattern / np.quantile(pattern[own > 0.5], 0.9)
    return scaled


def simulated_click(rng: np.random.Generator, truth: Array, spacing: Array) -> Array:
    """Simulate a click on a lesion: its centre with an error of `CLICK_SD_MM` (SD per axis), inside the lesion.

    Parameters
    ----------
    truth : (i, j, k) bool, the lesion.
    spacing : (3,) voxel size, mm.

    Returns
    -------
    voxel (3,); a random one of the lesion, if 80 tries are outside.
    """
    inside: Array = np.argwhere(truth)
    centre = inside.mean(axis=0)
    for _ in range(80):
        voxel: Array = np.rint(centre + rng.normal(0.0, CLICK_SD_MM, 3) / spacing).astype(int)
        if (voxel >= 0).all() and (voxel < truth.shape).all() and truth[tuple(voxel)]:
            return voxel
    anywhere: Array = inside[rng.integers(len(inside))]
    return anywhere
