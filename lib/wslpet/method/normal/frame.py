"""Frame of the body: MIPs of different people, habitus and fields of view brought to one grid (ours).

An image is placed by a scale and a shift along each axis, those of the highest correlation with the atlas's template.
No landmark is needed, so that a partial body or raised arms are placed like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from wslpet.core.arrays import Array, FloatArray

# The frame's grid: rows from the vertex to the feet, columns from the patient's right to the left (sagittal: from the
# back to the front), of GRID_MM each in a body of the template's size.
GRID_MM = 2.0
FRAME_SHAPE = (960, 256)
# The fit's grid, and the SUV above which brightness means nothing to it: lesions and the bladder must not steer it.
FIT_MM = 8.0
FIT_SUV = 3.0
# Distance of the places that the fit starts from; it goes on from the best one.
STRIDE_MM = 40.0
# Penalties of the fit: of the squared logarithm of a scale, and of the share of the body that leaves the frame.
SCALE_PENALTY = 1.0
OUTSIDE_PENALTY = 1.0
SCALES = (0.86, 0.95, 1.05, 1.16)


@dataclass(frozen=True)
class BodyFrame:
    """Place of an image in the frame: position in the image = origin + scale · position in the frame, both in mm.

    Parameters
    ----------
    origin, scale : of the rows and of the columns; positions are measured from the outer edge of the first pixel.
    """

    origin: tuple[float, float]
    scale: tuple[float, float]

    def to_frame(self, image: Array, spacing: tuple[float, float], grid_mm: float = GRID_MM) -> FloatArray:
        """Resample an image (row, column) to the frame's grid; NaN where the image does not reach."""
        shape = frame_shape(grid_mm)
        filters = [
            _filter(self._positions(axis, shape[axis], grid_mm, spacing[axis]), image.shape[axis]) for axis in (0, 1)
        ]
        result = _apply(filters, image)
        for axis, (_, inside) in enumerate(filters):
            result[(slice(None),) * axis + (~inside,)] = np.nan
        return result

    def from_frame(
        self, image: Array, shape: tuple[int, int], spacing: tuple[float, float], grid_mm: float = GRID_MM
    ) -> FloatArray:
        """Resample an image on the frame's grid to an image's own pixels; 0 outside the frame."""
        filters = []
        for axis in (0, 1):
            centres = (np.arange(shape[axis]) + 0.5) * spacing[axis]
            positions = (centres - self.origin[axis]) / self.scale[axis] / grid_mm - 0.5
            filters.append(_filter(positions, image.shape[axis]))
        return _apply(filters, image)

    def point(self, pixel: tuple[float, float], spacing: tuple[float, float], grid_mm: float = GRID_MM) -> FloatArray:
        """Fractional pixel (row, column) of an image → fractional pixel of the frame's grid."""
        mm = (np.array(pixel) + 0.5) * spacing
        place: FloatArray = (mm - self.origin) / np.array(self.scale) / grid_mm - 0.5
        return place

    def _positions(self, axis: int, size: int, grid_mm: float, spacing: float) -> FloatArray:
        centres = (np.arange(size) + 0.5) * grid_mm
        place: FloatArray = (self.origin[axis] + self.scale[axis] * centres) / spacing - 0.5
        return place


def frame_shape(grid_mm: float) -> tuple[int, int]:
    """Rows and columns of the frame on a grid of another pixel size."""
    return round(FRAME_SHAPE[0] * GRID_MM / grid_mm), round(FRAME_SHAPE[1] * GRID_MM / grid_mm)


def _filter(positions: FloatArray, size: int) -> tuple[csr_array, Array]:
    """Linear interpolation at fractional indices as a sparse matrix (position, size); antialiased where it reduces."""
    step = max(1.0, float(positions[1] - positions[0]))
    inside = (positions >= -0.5) & (positions <= size - 0.5)
    reach = int(np.ceil(step))
    taps = np.floor(positions)[:, None].astype(int) + np.arange(1 - reach, reach + 1)
    weights = np.clip(1 - np.abs(np.clip(positions, 0, size - 1)[:, None] - taps) / step, 0, None)
    weights *= (taps >= 0) & (taps < size) & inside[:, None]
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0).astype(np.float32)
    rows = np.repeat(np.arange(len(positions)), taps.shape[1])
    matrix = csr_array((weights.ravel(), (rows, np.clip(taps, 0, size - 1).ravel())), shape=(len(positions), size))
    return matrix, inside


def _apply(filters: list[tuple[csr_array, Array]], image: Array) -> FloatArray:
    (rows, _), (columns, _) = filters
    result: FloatArray = (columns @ (rows @ image.astype(np.float32)).T).T
    return np.ascontiguousarray(result)


def features(image: Array) -> FloatArray:
    """What the fit compares: the square root of the SUV, cut at `FIT_SUV`, in [0, 1]."""
    result: FloatArray = np.sqrt(np.clip(image, 0, FIT_SUV) / FIT_SUV).astype(np.float32)
    return result


def usual_frame(image: Array, spacing: tuple[float, float]) -> BodyFrame:
    """The frame without a template: first body row at the top, body in the middle, scale 1."""
    body = image > 0.3
    rows = np.flatnonzero(body.sum(axis=1) * spacing[1] > 40)
    top = float(rows[0] * spacing[0]) if len(rows) else 0.0
    trunk = body[: rows[0] + round(800 / spacing[0])] if len(rows) else body
    columns = trunk.sum(axis=0)
    middle = float((columns * (np.arange(len(columns)) + 0.5)).sum() / max(columns.sum(), 1)) * spacing[1]
    return BodyFrame((top, middle - FRAME_SHAPE[1] * GRID_MM / 2), (1.0, 1.0))


class FrameFit:
    """Fits images to a template.

    Parameters
    ----------
    template : (row, column) mean `features` on the grid of `FIT_MM`.
    weight : (row, column) share of people that reach each pixel.
    """

    def __init__(self, template: Array, weight: Array) -> None:
        self._template, self._weight = template.astype(np.float64), weight.astype(np.float64)
        self._centres = [(np.arange(n) + 0.5) * FIT_MM for n in template.shape]

    def fit(self, image: Array, spacing: tuple[float, float], rows_of: BodyFrame | None = None) -> BodyFrame:
        """The frame of an image (row, column) in SUV.

        Parameters
        ----------
        rows_of : frame of another view of the same scan, whose rows are taken over; by default the rows are fitted.
        """
        small = _reduce(features(image), spacing)
        if rows_of is None:
            candidates, steps = self._candidates(image, spacing, small), np.array([0.06, 0.06, 16.0, 12.0])
        else:
            candidates, steps = self._beside(image, spacing, rows_of), np.array([0.0, 0.06, 0.0, 12.0])
        best = max(candidates, key=lambda place: self._score(place, small))
        free = np.flatnonzero(steps)

        def cost(values: FloatArray) -> float:
            place = best.copy()
            place[free] = values
            return -self._score(place, small)

        simplex = best[free] + np.vstack([np.zeros(len(free)), np.diag(steps[free])])
        options = {"initial_simplex": simplex, "maxfev": 160, "xatol": 0.5, "fatol": 1e-4}
        best[free] = minimize(cost, best[free], method="Nelder-Mead", options=options).x
        return BodyFrame((float(best[2]), float(best[3])), (float(np.exp(best[0])), float(np.exp(best[1]))))

    def _beside(self, image: Array, spacing: tuple[float, float], rows_of: BodyFrame) -> list[FloatArray]:
        half = self._template.shape[1] * FIT_MM / 2
        middle = usual_frame(image, spacing).origin[1] + half
        scale, origin = np.log(rows_of.scale[0]), rows_of.origin[0]
        return [
            np.array([scale, across, origin, middle + shift - half * np.exp(across)])
            for across in np.log(SCALES)
            for shift in np.arange(-48.0, 49.0, 12.0)
        ]

    def _candidates(self, image: Array, spacing: tuple[float, float], small: FloatArray) -> list[FloatArray]:
        usual = usual_frame(image, spacing)
        width = self._template.shape[1] * FIT_MM
        middle = usual.origin[1] + width / 2
        height = small.shape[0] * FIT_MM
        found = []
        for scale in SCALES:
            across = 0.5 * np.log(scale)  # habitus and height vary apart; the fit finds the rest
            for origin in np.arange(-self._template.shape[0] * FIT_MM * scale + 200, height - 200, STRIDE_MM):
                found.append(np.array([np.log(scale), across, origin, middle - width / 2 * np.exp(across)]))
        return found

    def _score(self, place: FloatArray, small: FloatArray) -> float:
        """Weighted correlation of template and image, less the penalties."""
        scale = np.exp(place[:2])
        weights, columns = [], []
        for axis in (0, 1):
            positions = (place[2 + axis] + scale[axis] * self._centres[axis]) / FIT_MM - 0.5
            inside = (positions > -0.5) & (positions < small.shape[axis] - 0.5)
            low = np.clip(np.floor(positions).astype(int), 0, small.shape[axis] - 2)
            columns.append((low, np.clip(positions - low, 0, 1), inside))
            weights.append(inside)
        (y, fy, _), (x, fx, _) = columns
        rows = small[y] * (1 - fy)[:, None] + small[y + 1] * fy[:, None]
        moved = rows[:, x] * (1 - fx) + rows[:, x + 1] * fx
        weight = self._weight * np.outer(*weights)
        total = weight.sum()
        if total < 100:
            return -10.0
        one, other = moved - (weight * moved).sum() / total, self._template - (weight * self._template).sum() / total
        variance = (weight * one**2).sum() * (weight * other**2).sum()
        correlation = (weight * one * other).sum() / np.sqrt(variance) if variance > 0 else 0.0
        seen = (moved * weight).sum() * scale[0] * scale[1]
        outside = 1 - min(1.0, seen / max(float(small.sum()), 1e-6))
        return float(correlation - SCALE_PENALTY * (np.log(scale) ** 2).sum() - OUTSIDE_PENALTY * outside)


def _reduce(image: FloatArray, spacing: tuple[float, float]) -> FloatArray:
    shape = [max(2, round(n * s / FIT_MM)) for n, s in zip(image.shape, spacing, strict=True)]
    filters = [
        _filter((np.arange(n) + 0.5) * FIT_MM / s - 0.5, size)
        for n, s, size in zip(shape, spacing, image.shape, strict=True)
    ]
    return _apply(filters, image)
