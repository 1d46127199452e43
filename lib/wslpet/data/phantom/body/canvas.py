"""The voxel grid on which activity is painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.shapes import Axes, Point


@dataclass(frozen=True, eq=False)
class Box:
    """A part of the canvas: its slices, and its coordinates in the patient's mm and in the reference body's mm."""

    window: tuple[slice, slice, slice]
    mm: Axes
    reference: Axes


class Canvas:
    """Activity (SUV) on an axis-aligned grid in body mm (RAS, origin at the symphysis), painted organ by organ.

    Organs are given in mm of a reference body 1.72 m tall; times `scale` (3,) they are the patient's mm. An edge is a
    ramp of one voxel's width, the fraction of the voxel that is inside (partial volume).
    """

    def __init__(self, origin: Array, shape: tuple[int, int, int], spacing: FloatArray, scale: Array):
        self.origin = origin
        self.spacing = spacing
        self.scale = scale
        self.activity = np.zeros(shape, dtype=np.float32)
        self.strokes = 0
        self.edge = float(np.mean(spacing))
        # If set, called at each stroke with the box, the fraction of each voxel inside, and the organ's name.
        self.on_paint: Callable[[Box, Array, str], None] | None = None
        self.axes = [origin[d] + spacing[d] * np.arange(shape[d]) for d in range(3)]

    def box(self, low: Point, high: Point, margin: float = 0.0) -> Box | None:
        """Voxels between two corners in the patient's mm; None where the box misses the canvas."""
        starts, stops = [], []
        for d in range(3):
            a = int(np.ceil((low[d] - margin - self.origin[d]) / self.spacing[d]))
            b = int(np.floor((high[d] + margin - self.origin[d]) / self.spacing[d])) + 1
            starts.append(max(a, 0))
            stops.append(min(b, self.activity.shape[d]))
        if any(b - a < 1 for a, b in zip(starts, stops, strict=True)):
            return None
        window = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        mm = Axes(*(axis[w] for axis, w in zip(self.axes, window, strict=True)))
        return Box(window, mm, mm.scaled(1.0 / self.scale))  # type: ignore[arg-type]

    def reference_box(self, low: Point, high: Point, margin: float = 12.0) -> Box | None:
        """Voxels between two corners in the reference body's mm."""
        return self.box((np.asarray(low) - margin) * self.scale, (np.asarray(high) + margin) * self.scale)

    def fraction(self, distance: Array, edge: float | None = None) -> Array:
        """Signed distance (mm, negative inside) → share of the voxel inside, 0–1."""
        inside = distance * np.float32(-1.0 / (edge or self.edge))
        inside += np.float32(0.5)
        return np.clip(inside, 0, 1, out=inside)

    def paint(self, box: Box, inside: Array, value: Array | float, name: str = "") -> None:
        """Replace the activity by `value` in the given fraction of each voxel."""
        self.strokes += 1
        if self.on_paint is not None:
            self.on_paint(box, inside, name)
        part = self.activity[box.window]
        part += inside * (value - part)
