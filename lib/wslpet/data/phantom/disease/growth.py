"""Shape and uptake of a tumour or an involved node, before it is put on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.anatomy import Body, stream
from wslpet.data.phantom.body.shapes import Axes, Waves, ellipsoid

# Distance by which lung tumours may extend beyond the lung; ours.
HEART_INVASION_MM = 6.0
WALL_INVASION_MM = 9.0
DIAPHRAGM_INVASION_MM = 6.0
LUNG_SITES = ("parenchyma", "hilum", "mediastinum", "chest wall")


@dataclass(frozen=True, eq=False)
class Growth:
    """A tumour or an involved node, as a function of position. Positions and sizes are the patient's mm.

    Parameters
    ----------
    kind : "primary", "node", "lesion" or "mimic".
    site : name of the site; a growth at one of `LUNG_SITES` is limited by heart, chest wall and diaphragm.
    centre, radii : (3,) of the ellipsoid.
    reach : (3,) half-widths of its box; of a growth around the oesophagus (6,), with the box's centre.
    suv_max : SUVmax after the point spread, before noise.
    seed : arguments of `stream` for its shape.
    body : the patient's body.
    rotation : of the ellipsoid.
    lobes : (amplitude, wavelength in mm) of the surface's random field.
    spikes : amplitude of a finer random field of the surface.
    heterogeneity : relative SD of uptake.
    necrosis : level above which the core has little uptake; 0 for none.
    along : lowest and highest z of a growth around the oesophagus; None for an ellipsoid.
    """

    kind: str
    site: str
    centre: Array
    reach: Array
    suv_max: float
    seed: tuple[int, str]
    body: Body
    radii: Array
    rotation: Rotation | None
    lobes: tuple[float, float]
    spikes: float
    heterogeneity: float
    necrosis: float
    along: tuple[float, float] | None = None

    def level(self, axes: Axes) -> Array:
        """Level set, (x, y, z): 0 on the surface, positive inside, about 1 in the centre."""
        rng = stream(*self.seed)
        size = float(self.radii.mean())
        lobes, spikes = Waves.draw(rng, self.lobes[1]), Waves.draw(rng, 0.5 * size + 3.0, 24)
        reference = axes.scaled(1.0 / self.body.scale)
        if self.along is None:
            inside = 1 - ellipsoid(axes, self.centre, self.radii, self.rotation)
        else:
            inside = self._around_oesophagus(axes)
        inside = inside + np.float32(self.lobes[0]) * lobes.on(axes)
        if self.spikes:
            inside = inside + np.float32(self.spikes) * spikes.on(axes)
        x, y, z = reference.mesh
        barrier = self.body.heart_distance(x, y, z) + HEART_INVASION_MM
        if self.site in LUNG_SITES:
            barrier = np.minimum(barrier, WALL_INVASION_MM - self.body.cage_distance(x, y, z))
            barrier = np.minimum(barrier, z - self.body.dome_height(x, y) + DIAPHRAGM_INVASION_MM)
        limited: Array = np.minimum(inside, barrier / np.float32(size))
        return limited

    def _around_oesophagus(self, axes: Axes) -> Array:
        low, high = self.along  # type: ignore[misc]
        scale = self.body.scale
        cx, cy = self.body.curve(self.body.oesophagus, axes.z / scale[2])
        cx = (cx * scale[0] + self.centre[0]).astype(np.float32)
        cy = (cy * scale[1] + self.centre[1]).astype(np.float32)
        x, y, z = axes.mesh
        u = (2 * (z - np.float32(low)) / np.float32(high - low) - 1).astype(np.float32)
        wide = np.float32(self.radii[0]) * np.sqrt(np.clip(1 - np.abs(u) ** 2.5, 0, 1)) + np.float32(1e-3)
        rho = np.sqrt((x - cx) ** 2 + ((y - cy) * np.float32(self.radii[0] / self.radii[1])) ** 2)
        return np.where(np.abs(u) < 1, 1 - rho / wide, -1).astype(np.float32)

    def pattern(self, axes: Axes, level: Array) -> Array:
        """Relative uptake, (x, y, z): about 1, textured, a fifth of it in necrosis."""
        rng = stream(self.seed[0], self.seed[1] + " uptake")
        size = float(self.radii.mean())
        coarse, fine = Waves.draw(rng, max(1.3 * size, 12.0)), Waves.draw(rng, max(0.5 * size, 8.0))
        core = Waves.draw(rng, 1.2 * size)
        relative = 1 + np.float32(self.heterogeneity) * (coarse.on(axes) + np.float32(0.5) * fine.on(axes))
        if self.necrosis:
            dead = np.clip((level - np.float32(self.necrosis) + np.float32(0.12) * core.on(axes)) * 6, 0, 1)
            relative *= 1 - np.float32(0.8) * dead
        pattern: FloatArray = np.clip(relative, 0.08, None)
        return pattern


def middle_of(growth: Growth) -> Array:
    """Centre (3,) of the growth in the patient's mm."""
    return growth.reach[3:] if growth.along is not None else growth.centre


def simple_growth(
    body: Body, name: str, centre: Array, radius: float, suv_max: float, kind: str, heterogeneity: float = 0.05
) -> Growth:
    """A small rounded focus at `centre` (patient's mm)."""
    rng = stream(body.seed, name)
    radii = radius * np.exp(rng.normal(0, 0.13, size=3))
    return Growth(
        kind=kind,
        site="focus",
        centre=np.asarray(centre, dtype=float),
        reach=np.full(3, 1.4 * float(radii.max()) + 3.0),
        suv_max=suv_max,
        seed=(body.seed, name + " shape"),
        body=body,
        radii=radii,
        rotation=Rotation.random(random_state=int(rng.integers(2**31))),
        lobes=(0.07, 2.0 * radius),
        spikes=0.0,
        heterogeneity=heterogeneity,
        necrosis=0.0,
    )
