"""Paints ellipsoids and tubes with the uptake of organs on a canvas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.anatomy import Body, stream
from wslpet.data.phantom.body.canvas import Canvas
from wslpet.data.phantom.body.shapes import Point, Waves, ellipsoid, tube
from wslpet.data.phantom.settings import Range, Uptake

Clip = Callable[[Array, Array, Array], Array]


class Painter:
    """Paints organs of one body on a canvas. Positions and radii are mm of the reference body, values are SUV.

    Parameters
    ----------
    canvas : the voxel grid.
    body : the body; points are moved by its `lean`.
    uptake : ranges that the organs' uptake is sampled from.
    """

    def __init__(self, canvas: Canvas, body: Body, uptake: Uptake) -> None:
        self.canvas = canvas
        self.body = body
        self.uptake = uptake
        self.drawn: dict[str, float] = {}

    def stream(self, name: str) -> np.random.Generator:
        """The random stream of one organ."""
        return stream(self.body.seed, name)

    def level(self, name: str, between: Range, logarithmic: bool = False) -> float:
        """Sample an organ's uptake, and record it for the description."""
        rng = self.stream("level of " + name)
        low, high = between
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))) if logarithmic else rng.uniform(low, high))
        self.drawn[name] = round(value, 3)
        return value

    def blob(
        self,
        name: str,
        centre: Point,
        radii: Point,
        value: float,
        *,
        rotation: Rotation | None = None,
        warp: float = 0.07,
        texture: float = 0.05,
        jitter: float = 4.0,
        grain_mm: float = 18.0,
        clip: Clip | None = None,
        shell: float = 0.0,
        core: float | None = None,
        edge: float | None = None,
    ) -> None:
        """Paint an ellipsoid with a wavy surface.

        Parameters
        ----------
        name : of the organ; also the name of its random stream.
        value : uptake, SUV.
        rotation : of the ellipsoid about its centre.
        warp : SD of the surface, as a share of the radii.
        texture, grain_mm : relative SD of the uptake, and its wavelength.
        jitter : SD of the centre per axis, mm.
        clip : (x, y, z) → signed distance, positive where nothing is painted.
        shell, core : the outer `shell` mm have the value `value`, the inside has the value `core`.
        edge : width of the transition at the surface, mm; None is one voxel.
        """
        rng = self.stream(name)
        middle = self.body.lean(centre) + rng.normal(0, jitter, size=3)
        half: Array = np.asarray(radii, dtype=float) * rng.normal(1, 0.06, size=3).clip(0.8, 1.2)
        surface, grain = Waves.draw(rng, 1.6 * float(half.mean())), Waves.draw(rng, grain_mm)
        reach = 1.2 * (half if rotation is None else np.full(3, half.max()))
        box = self.canvas.reference_box(middle - reach, middle + reach)
        if box is None:
            return
        r = ellipsoid(box.reference, middle, half, rotation)
        if warp:
            r += np.float32(warp) * surface.on(box.reference)
        distance = (r - 1) * np.float32(half.mean())
        if clip is not None:
            distance = np.maximum(distance, clip(*box.reference.mesh))
        inside = self.canvas.fraction(distance, edge)
        amount: Array | float = value
        if texture:
            amount = np.float32(value) * np.clip(1 + np.float32(texture) * grain.on(box.reference), 0.2, None)
        if core is not None:
            amount = amount + self.canvas.fraction(distance + np.float32(shell)) * (np.float32(core) - amount)
        self.canvas.paint(box, inside, amount, name)

    def cord(
        self,
        name: str,
        points: Array,
        radii: Array | float,
        value: float,
        *,
        patchy: float = 0.0,
        patch_mm: float = 40.0,
        core: float | None = None,
        shell: float = 0.0,
        edge: float | None = None,
    ) -> None:
        """Paint a tube along `points` (n, 3). `patchy` is the SD of its log uptake; others as in `blob`."""
        points = self.body.lean(points)
        rng = self.stream(name)
        patches = Waves.draw(rng, patch_mm)
        radii = np.broadcast_to(np.asarray(radii, dtype=float), len(points))
        reach = float(radii.max())
        box = self.canvas.reference_box(points.min(axis=0) - reach, points.max(axis=0) + reach)
        if box is None:
            return
        distance = tube(box.reference, points, radii)
        amount: Array | float = value
        if patchy:
            amount = np.float32(value) * np.exp(np.float32(patchy) * patches.on(box.reference))
        if core is not None:
            amount = amount + self.canvas.fraction(distance + np.float32(shell)) * (np.float32(core) - amount)
        self.canvas.paint(box, self.canvas.fraction(distance, edge), amount, name)


def turned(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Rotation:
    """A rotation about x, then y, then z, degrees."""
    return Rotation.from_euler("xyz", (x, y, z), degrees=True)
