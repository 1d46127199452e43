"""Paint growths on the canvas, with a given SUVmax after the scanner's point spread."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.canvas import Box, Canvas
from wslpet.data.phantom.body.shapes import Axes
from wslpet.data.phantom.disease.growth import Growth, middle_of
from wslpet.data.phantom.scan.scanner import blur

SUPERSAMPLING = 2


def paint_growth(canvas: Canvas, growth: Growth, fwhm_mm: float, contrast: float) -> tuple[Box, Array] | None:
    """Paint a growth so that its maximum after the point spread is its SUVmax.

    Parameters
    ----------
    fwhm_mm : FWHM of the point spread.
    contrast : the SUVmax is raised to at least this multiple of the local background.

    Returns
    -------
    the growth's box, and the fraction (x, y, z) of each voxel that is inside; None if it is outside the canvas.
    """
    middle, reach = middle_of(growth), growth.reach[:3]
    box = canvas.box(middle - reach, middle + reach, margin=canvas.edge)
    if box is None:
        return None
    fine = _fine(box.mm, canvas.spacing)
    level = growth.level(fine)
    inside = _coarse((level > 0).astype(np.float32))
    if not inside.any():
        nearest = tuple(
            int(np.argmin(np.abs(a - c))) for a, c in zip((box.mm.x, box.mm.y, box.mm.z), middle, strict=True)
        )
        inside[nearest] = 0.5
    inside = _largest(inside)
    relative = growth.pattern(box.mm, _coarse(level))
    part = canvas.activity[box.window]
    rest = blur(part * (1 - inside), fwhm_mm, canvas.spacing)
    spread = blur(inside * relative, fwhm_mm, canvas.spacing)
    ring = (inside == 0) & (blur(inside, 14.0, canvas.spacing) > 0.03)
    around = float(np.percentile(part[ring], 75)) if ring.any() else 0.0
    target = max(growth.suv_max, contrast * around)
    core = (spread > 0.5 * spread.max()) & (inside > 0)
    rise = float(np.min(np.clip((target - rest[core]) / spread[core], 0.0, None)))
    value = max(rise, 1.1 * around)
    canvas.paint(box, inside, np.float32(value) * relative)
    return box, inside


def _fine(axes: Axes, spacing: FloatArray) -> Axes:
    offsets = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5
    return Axes(*((a[:, None] + s * offsets).ravel() for a, s in zip((axes.x, axes.y, axes.z), spacing, strict=True)))


def _coarse(fine: Array) -> Array:
    n = SUPERSAMPLING
    x, y, z = (s // n for s in fine.shape)
    mean: FloatArray = fine.reshape(x, n, y, n, z, n).mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def _largest(inside: Array) -> Array:
    parts, count = label(inside > 0)
    if count < 2:
        return inside
    biggest = 1 + int(np.argmax(np.bincount(parts.ravel(), inside.ravel())[1:]))
    return np.where(parts == biggest, inside, 0).astype(np.float32)
