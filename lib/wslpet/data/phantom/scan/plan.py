"""Plan of a phantom's scan: the body, the scanner, and the voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.anatomy import VERTEX_Z, Body, choose, stream
from wslpet.data.phantom.body.canvas import Canvas
from wslpet.data.phantom.body.organs import PLAIN_ORGANS
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Axes
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.lifelike.organs import LIFELIKE_ORGANS
from wslpet.data.phantom.scan.scanner import blur, edge_noise, noise
from wslpet.data.phantom.settings import CohortSettings, Scanner

# Lower and upper end (reference mm above the symphysis) of the axial fields of view.
FIELDS = {
    "skull-thigh": (-230.0, 765.0),
    "vertex-thigh": (-230.0, VERTEX_Z + 8),
    "head-abdomen": (160.0, VERTEX_Z + 8),
    "thorax": (285.0, 672.0),
    "brain-thigh": (-200.0, 812.0),
    "whole body": (-930.0, 940.0),
}
# SD (mm) of the upper end of fields that end somewhere in the head.
UPPER_END_SD = {"brain-thigh": 30.0}


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """Plan of a scan.

    Parameters
    ----------
    seed : the patient's random seed.
    body, scanner : what is scanned, and with which scanner.
    field : name of the axial field of view, a key of `FIELDS`.
    spacing : (3,) voxel size, mm.
    offset : (3,) origin of the body in mm RAS.
    fwhm_mm : FWHM of the point spread.
    liver_cov : coefficient of variation in the liver.
    grain_mm : FWHM of the noise's correlation.
    canvas : the voxel grid around the body.
    shape, corner : number of voxels of the whole scan, and its first voxel in body mm.
    start : voxel of the whole scan at which the canvas starts.
    """

    seed: int
    body: Body
    scanner: Scanner
    field: str
    spacing: FloatArray
    offset: FloatArray
    fwhm_mm: float
    liver_cov: float
    grain_mm: float
    canvas: Canvas
    shape: tuple[int, int, int]
    corner: Array
    start: Array

    @property
    def affine(self) -> Array:
        """(4, 4) voxel → mm RAS of the whole scan."""
        affine: Array = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = self.corner + self.offset
        return affine

    @property
    def inner(self) -> tuple[slice, ...]:
        """Slices of the canvas in the whole scan."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.canvas.activity.shape, strict=True))


def plan_scan(seed: int, settings: CohortSettings, voxel_mm: tuple[float, float, float] | None = None) -> ScanPlan:
    """Sample a body and its scan; parameters as in `wslpet.data.phantom.make_patient`."""
    body = Body.draw(seed, settings) if settings.disease is None else LifelikeBody.draw(seed, settings)
    rng = stream(seed, "scan")
    scanner = choose(rng, settings.scanners)
    assert isinstance(scanner, Scanner)
    spacing = np.array(scanner.voxel_mm if voxel_mm is None else voxel_mm, dtype=float)
    field = str(choose(rng, settings.fields))
    fwhm, cov = float(rng.uniform(*scanner.fwhm_mm)), float(rng.uniform(*scanner.liver_cov))
    grain = fwhm * float(rng.uniform(0.5, 0.9))
    offset = np.array([rng.normal(0, 8), rng.normal(0, 12), rng.uniform(-900, 200)])
    canvas, shape, corner, start = _grid(body, scanner, spacing, field, offset, rng)
    return ScanPlan(seed, body, scanner, field, spacing, offset, fwhm, cov, grain, canvas, shape, corner, start)


def painted_organs(plan: ScanPlan, settings: CohortSettings) -> Painter:
    """Paint every organ of the body on the canvas, and return the painter."""
    painter = Painter(plan.canvas, plan.body, settings.uptake)
    for paint in LIFELIKE_ORGANS if isinstance(plan.body, LifelikeBody) else PLAIN_ORGANS:
        paint(painter)
    return painter


def _grid(
    body: Body, scanner: Scanner, spacing: FloatArray, field: str, offset: FloatArray, rng: np.random.Generator
) -> tuple[Canvas, tuple[int, int, int], Array, Array]:
    """Make the canvas around the body, and `shape`, `corner` and `start` of the `ScanPlan`."""
    low, high = (f * body.scale[2] for f in FIELDS[field])
    if field in UPPER_END_SD:
        high = min(high + rng.normal(0, UPPER_END_SD[field]), 930.0)
    low += rng.uniform(-60, 30) if low < 0 else rng.uniform(-15, 5)
    across = scanner.field_mm
    shape = (round(across / spacing[0]), round(across / spacing[1]), max(round((high - low) / spacing[2]), 8))
    corner = np.array([-(shape[0] - 1) / 2 * spacing[0] - offset[0], -(shape[1] - 1) / 2 * spacing[1] - offset[1], low])
    half = np.array([250.0 if body.arms == "up" else 290.0, 150.0]) * body.scale[:2] + body.fat_mm + 15
    start, stop = np.zeros(3, dtype=int), np.array(shape)
    for d in (0, 1):
        start[d] = max(int((-half[d] - corner[d]) / spacing[d]), 0)
        stop[d] = min(int(np.ceil((half[d] - corner[d]) / spacing[d])) + 1, shape[d])
    canvas = Canvas(corner + start * spacing, tuple(stop - start), spacing, body.scale)
    return canvas, shape, corner, start


def scanned(plan: ScanPlan, settings: CohortSettings) -> Array:
    """Apply the scanner to the canvas: point spread, then noise; SUV (x, y, z)."""
    spacing, cov = plan.spacing, plan.liver_cov
    activity = blur(plan.canvas.activity, plan.fwhm_mm, spacing)
    np.clip(activity, 0, None, out=activity)
    reference = Axes(*(a / s for a, s in zip(plan.canvas.axes, plan.body.scale, strict=True)))
    activity += noise(activity, reference, cov, plan.grain_mm, spacing, stream(plan.seed, "noise"))
    if settings.edge_noise[1] > 1:
        activity += edge_noise(activity.shape, spacing, settings.edge_noise, cov, stream(plan.seed, "edge noise"))
    return np.clip(activity, 0, None, out=activity)
