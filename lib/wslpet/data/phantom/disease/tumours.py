"""Lung and oesophageal tumours and involved nodes: site, shape and uptake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.anatomy import Body, choose, stream
from wslpet.data.phantom.body.canvas import Box, Canvas
from wslpet.data.phantom.body.shapes import Axes, Waves, ellipsoid
from wslpet.data.phantom.scanner import blur
from wslpet.data.phantom.settings import CohortSettings, Spread

SUPERSAMPLING = 2
NECROTIC_ABOVE_MM = 35.0
# Distance by which lung tumours may extend beyond the lung; ours.
HEART_INVASION_MM = 6.0
WALL_INVASION_MM = 9.0
DIAPHRAGM_INVASION_MM = 6.0
# Involved nodes hold at most this share of the volume of the primary; ours.
NODE_SHARE = 0.12
LUNG_SITES = ("parenchyma", "hilum", "mediastinum", "chest wall")


@dataclass(frozen=True, eq=False)
class Growth:
    """A tumour or an involved node before it is put on a grid. Positions and sizes are the patient's mm.

    level(mm, reference) : > 0 inside, 0 on the surface, about 1 in the centre.
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
        """Level set, (x, y, z): positive inside the growth."""
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
        """Relative uptake, at most about 1: textured, lower at the rim, zero in necrosis."""
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


def draw_primary(body: Body, settings: CohortSettings, cancer_type: str) -> Growth:
    """Sample the primary tumour of one patient."""
    if cancer_type == "lung":
        return _lung(body, settings)
    return _oesophagus(body, settings)


def _spread(rng: np.random.Generator, spread: Spread) -> float:
    for _ in range(100):
        value = float(spread.median * np.exp(spread.log_sd * rng.normal()))
        if spread.low <= value <= spread.high:
            return value
    return spread.median


def _lung(body: Body, settings: CohortSettings) -> Growth:
    rng = stream(body.seed, "lung tumour")
    diameter = _spread(rng, settings.lung_diameter_mm)
    radii = 0.5 * diameter * np.exp(rng.normal(0, 0.14, size=3))
    site = str(choose(rng, settings.lung_sites))
    centre = _lung_site(body, rng, site, 0.5 * diameter / float(body.scale.mean())) * body.scale
    necrotic = diameter > NECROTIC_ABOVE_MM and rng.random() < settings.necrosis
    return Growth(
        kind="primary",
        site=site,
        centre=centre,
        reach=np.full(3, 1.55 * float(radii.max()) + 4.0),
        suv_max=_spread(rng, settings.tumour_suv_max),
        seed=(body.seed, "lung shape"),
        body=body,
        radii=radii,
        rotation=Rotation.random(random_state=int(rng.integers(2**31))),
        lobes=(float(rng.uniform(0.04, 0.16)), float(diameter * rng.uniform(0.7, 1.2))),
        spikes=float(rng.uniform(0, 0.09)),
        heterogeneity=float(rng.uniform(*settings.heterogeneity)),
        necrosis=float(rng.uniform(0.35, 0.6)) if necrotic else 0.0,
    )


def _lung_site(body: Body, rng: np.random.Generator, site: str, radius: float) -> Array:
    """Sample a centre (3,) in reference mm that suits the site and a tumour of this radius."""
    side = 1.0 if rng.random() < 0.56 else -1.0
    p = rng.uniform((8, -90, 310), (140, 95, 606), size=(4000, 3)) * (side, 1, 1)
    x, y, z = p.T
    depth = -body.lung_distance(x, y, z)
    wall = -body.cage_distance(x, y, z)
    middle = body.mediastinum_distance(x, y, z)
    if site == "hilum":
        near = np.linalg.norm((p - (44 * side, -14, 488)) / (14, 16, 20), axis=1)
        fits = (near < 1.3) & (depth > -8)
    elif site == "mediastinum":
        fits = (depth > 2) & (middle > 0.35 * radius) & (middle < 0.85 * radius) & (wall > 0.7 * radius)
    elif site == "chest wall":
        fits = (depth > 2) & (wall > 0.4 * radius) & (wall < 0.85 * radius) & (middle > 0.8 * radius)
    else:
        fits = depth > min(0.6 * radius + 2, 26)
    if not fits.any():
        fits = depth > 0.85 * depth.max()
    site_centre: FloatArray = p[rng.choice(np.flatnonzero(fits))]
    return site_centre


def _oesophagus(body: Body, settings: CohortSettings) -> Growth:
    rng = stream(body.seed, "oesophagus tumour")
    length = _spread(rng, settings.oesophagus_length_mm)
    width = min(_spread(rng, settings.oesophagus_width_mm), 0.8 * length)
    top, bottom = body.oesophagus[0, 2] * body.scale[2], body.oesophagus[-1, 2] * body.scale[2]
    low_end, high_end = bottom + 0.3 * length, top - 0.55 * length
    # Two thirds lie in the lower half, as adenocarcinomas do.
    u = rng.beta(1.0, 1.7)
    z = low_end + u * max(high_end - low_end, 0)
    radii = np.array([0.5 * width * rng.uniform(0.92, 1.12), 0.5 * width * rng.uniform(0.85, 1.05), 0.5 * length])
    off = rng.normal(0, 0.14 * width, size=2)
    cx, cy = (float(c) for c in body.curve(body.oesophagus, np.array(z / body.scale[2])))
    path = body.oesophagus * body.scale
    spanned = path[(path[:, 2] > z - 0.5 * length) & (path[:, 2] < z + 0.5 * length)]
    bend = np.ptp(spanned[:, :2], axis=0) if len(spanned) > 1 else np.zeros(2)
    middle = np.array([cx * body.scale[0] + off[0], cy * body.scale[1] + off[1], z])
    necrotic = width > NECROTIC_ABOVE_MM and rng.random() < settings.necrosis
    return Growth(
        kind="primary",
        site="cervical" if z / body.scale[2] > 585 else "oesophagus",
        centre=np.array([off[0], off[1], z]),
        reach=np.array([0.8 * width + bend[0] + 6, 0.8 * width + bend[1] + 6, 0.5 * length + 6, *middle]),
        suv_max=_spread(rng, settings.tumour_suv_max),
        seed=(body.seed, "oesophagus shape"),
        body=body,
        radii=radii,
        rotation=None,
        lobes=(float(rng.uniform(0.05, 0.18)), float(width * rng.uniform(0.9, 1.6))),
        spikes=float(rng.uniform(0, 0.05)),
        heterogeneity=float(rng.uniform(*settings.heterogeneity)),
        necrosis=float(rng.uniform(0.5, 0.7)) if necrotic else 0.0,
        along=(z - 0.5 * length, z + 0.5 * length),
    )


def middle_of(growth: Growth) -> Array:
    """Centre (3,) of the growth in the patient's mm."""
    return growth.reach[3:] if growth.along is not None else growth.centre


def draw_nodes(body: Body, settings: CohortSettings, primary: Growth, cancer_type: str) -> list[Growth]:
    """Sample involved nodes: hilar and mediastinal on the side of a lung tumour, otherwise beside the oesophagus."""
    rng = stream(body.seed, "nodes")
    if rng.random() >= settings.nodes:
        return []
    middle = middle_of(primary)
    side = np.sign(middle[0]) or 1.0
    if cancer_type == "lung":
        stations = [(34 * side, -14, 490), (16 * side, -4, 535), (4, -28, 478), (20 * side, -8, 560), (-18, 4, 512)]
    else:
        path = body.oesophagus[rng.integers(4, len(body.oesophagus), size=4)]
        aside = [(rng.choice((-1, 1)) * rng.uniform(13, 20), rng.uniform(-4, 10), 0) for _ in path]
        stations = [tuple(q) for q in path + np.array(aside)]
        stations.append((-12, 12, 318))
    largest = 0.35 * float(primary.radii[:2].mean()) + 2.0
    nodes: list[Growth] = []
    room = NODE_SHARE * float(np.prod(primary.radii)) * (1.0 if primary.along is None else 1.4)
    for n in rng.permutation(len(stations))[: int(rng.integers(1, 4))]:
        radius = float(np.clip(rng.normal(5.5, 2.0), 3.5, max(min(largest, 11.0), 3.6)))
        centre = (np.array(stations[n]) + rng.normal(0, 3, size=3)) * body.scale
        if np.linalg.norm((centre - middle) / (np.asarray(primary.reach[:3]) + radius + 4)) < 0.9:
            continue
        room -= radius**3
        if room < 0:
            break
        nodes.append(simple_growth(body, f"node {n}", centre, radius, primary.suv_max * rng.uniform(0.4, 0.9), "node"))
    return nodes


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


def paint_growth(canvas: Canvas, growth: Growth, fwhm_mm: float, contrast: float) -> tuple[Box, Array] | None:
    """Paint a growth so that its maximum after the point spread is its SUVmax.

    The SUVmax is raised to at least `contrast` times the local background. Returns the box and the fraction (x, y, z)
    of each voxel inside the growth; None if the growth is outside the canvas.
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
