"""Benign uptake that resembles a tumour, called mimics: inflammation, fractures, brown fat, and others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.anatomy import Body, stream
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Waves, smooth_path
from wslpet.data.phantom.disease.growth import Growth, middle_of, simple_growth
from wslpet.data.phantom.disease.growth_painting import paint_growth
from wslpet.data.phantom.settings import CohortSettings, PhantomError

KEEP_OFF_MM = 12.0


class Mimicry:
    """Paints the benign uptake of one patient, at a distance from the primary tumour."""

    def __init__(self, painter: Painter, primary: Growth | None, fwhm_mm: float) -> None:
        self.painter = painter
        self.body: Body = painter.body
        self.primary = primary
        self.fwhm_mm = fwhm_mm

    def clear_of_tumour(self, centre: Array, radius: float) -> bool:
        """Whether a focus at `centre` (patient's mm) is far enough from the primary."""
        if self.primary is None:
            return True
        room = self.primary.reach[:3] + radius + KEEP_OFF_MM - 6.0
        return bool(np.linalg.norm((centre - middle_of(self.primary)) / room) > 1.0)

    def focus(self, name: str, at: Array, radius: float, suv_max: float) -> None:
        """Paint a round focus at a position in reference mm, unless it is too close to the primary."""
        centre = np.asarray(at, dtype=float) * self.body.scale
        if self.clear_of_tumour(centre, radius):
            growth = simple_growth(self.body, name, centre, radius, suv_max, "mimic")
            paint_growth(self.painter.canvas, growth, self.fwhm_mm, 1.0)


def draw_mimics(body: Body, settings: CohortSettings) -> list[str]:
    """Sample the names of the mimics that a patient has."""
    return [name for name, probability in settings.mimics if stream(body.seed, name).random() < probability]


def paint_mimic(mimicry: Mimicry, name: str) -> bool:
    """Paint one mimic; False if it lies outside the scan or too close to the tumour."""
    if name not in MIMICS:
        raise PhantomError(f"mimic {name!r} does not exist; choose from {sorted(MIMICS)}")
    before = mimicry.painter.canvas.strokes
    MIMICS[name](mimicry, stream(mimicry.body.seed, name + " draws"))
    return mimicry.painter.canvas.strokes > before


def _pneumonia(m: Mimicry, rng: np.random.Generator) -> None:
    """Fuzzy, patchy, low to moderate uptake in a part of a lobe, cut off by the pleura."""
    body, canvas = m.body, m.painter.canvas
    for _ in range(40):
        side = rng.choice((-1.0, 1.0))
        centre = rng.uniform((45, -75, 340), (115, 30, 560)) * (side, 1, 1)
        radii = rng.uniform(20, 42, size=3)
        inside = body.lung_distance(*(np.array([c]) for c in centre))[0] < 0
        if inside and m.clear_of_tumour(centre * body.scale, float(radii.max())):
            break
    else:
        return
    value = float(rng.uniform(1.4, 4.2))
    patches, border = Waves.draw(rng, 26.0, 24), Waves.draw(rng, 40.0)
    box = canvas.reference_box(centre - 1.4 * radii, centre + 1.4 * radii)
    if box is None:
        return
    x, y, z = box.reference.mesh
    r = np.sqrt(
        sum(((v - np.float32(c)) / np.float32(s)) ** 2 for v, c, s in zip((x, y, z), centre, radii, strict=True))
    )
    fade = np.clip((1.25 - r + np.float32(0.25) * border.on(box.reference)) / np.float32(0.7), 0, 1)
    fade *= canvas.fraction(body.lung_distance(x, y, z))
    canvas.paint(box, fade, np.float32(value) * np.exp(np.float32(0.35) * patches.on(box.reference) - np.float32(0.1)))


def _hilar_nodes(m: Mimicry, rng: np.random.Generator) -> None:
    """Small, symmetric, moderate: both hila, often below the carina and beside the trachea."""
    value = float(rng.uniform(2.0, 4.5))
    places = [(s * 33, -14, 490 + d) for s in (1, -1) for d in (6, -12)] + [
        (3, -26, 478),
        (16, -6, 532),
        (-18, -2, 514),
    ]
    for n, place in enumerate(places):
        if n < 4 or rng.random() < 0.5:
            at = np.array(place) + rng.normal(0, 2.5, size=3)
            m.focus(f"reactive hilar {n}", at, float(rng.uniform(4, 6.5)), value * rng.uniform(0.7, 1.1))


def _axillary_nodes(m: Mimicry, rng: np.random.Generator) -> None:
    """A group in one armpit, as after a vaccination."""
    side = rng.choice((-1.0, 1.0))
    value = float(rng.uniform(1.8, 5.5))
    for n in range(int(rng.integers(2, 6))):
        at = np.array([side * 148, -12, 540]) + rng.normal(0, (8, 10, 16))
        m.focus(f"reactive axillary {n}", at, float(rng.uniform(3.5, 6.5)), value * rng.uniform(0.6, 1.1))


def _cervical_nodes(m: Mimicry, rng: np.random.Generator) -> None:
    """Small nodes on both sides of the neck."""
    value = float(rng.uniform(1.8, 4.5))
    for n in range(int(rng.integers(3, 8))):
        at = np.array([(1 if n % 2 else -1) * 38, 2, rng.uniform(630, 690)]) + rng.normal(0, (4, 6, 0))
        m.focus(f"reactive cervical {n}", at, float(rng.uniform(3.5, 5.5)), value * rng.uniform(0.6, 1.1))


def _oesophagitis(m: Mimicry, rng: np.random.Generator) -> None:
    """Long, even, thin uptake along the lower oesophagus, as in reflux."""
    path = m.body.oesophagus
    count = int(rng.integers(20, 48))
    value = float(rng.uniform(1.9, 4.0))
    m.painter.cord(
        "oesophagitis", path[-count:], np.full(count, rng.uniform(6.0, 8.5)), value, patchy=0.12, patch_mm=50, edge=6.0
    )  # fmt: skip


def _rib_fractures(m: Mimicry, rng: np.random.Generator) -> None:
    """Foci one below the other in neighbouring ribs."""
    side, angle = rng.choice((-1.0, 1.0)), rng.uniform(-0.9, 0.9)
    top, value = rng.uniform(400, 540), rng.uniform(1.8, 5.0)
    for n in range(int(rng.integers(1, 5))):
        z = top - 26 * n
        out = np.linspace(0.4, 1.2, 60)
        x, y = out * side * np.cos(angle) * 145, out * np.sin(angle) * 98
        rib = int(np.argmin(np.abs(m.body.cage_distance(x, y, np.full(60, z)) - 6)))
        at = np.array([x[rib], y[rib], z]) + rng.normal(0, 2, size=3)
        m.focus(f"rib {n}", at, float(rng.uniform(4, 6.5)), value * rng.uniform(0.6, 1.15))


def _vertebral_fracture(m: Mimicry, rng: np.random.Generator) -> None:
    """A band across one vertebral body."""
    z = float(rng.uniform(150, 540))
    x, y = (float(c) for c in m.body.curve(m.body.spine, np.array(z)))
    centre = np.array([x, y, z])
    if m.clear_of_tumour(centre * m.body.scale, 20.0):
        value = float(rng.uniform(2.5, 5.0))
        m.painter.blob("vertebral fracture", centre, (21, 16, 6), value, jitter=0, warp=0.1, texture=0.15)


def _brown_fat(m: Mimicry, rng: np.random.Generator) -> None:
    """Symmetric bands above the clavicles and beads beside the spine."""
    value = float(np.exp(rng.uniform(np.log(2.0), np.log(11.0))))
    for s in (1, -1):
        line = np.array([(42, 0, 640), (58, 4, 612), (92, 2, 598), (120, -8, 575), (140, -16, 545)], dtype=float)
        line = smooth_path(line * (s, 1, 1) + rng.normal(0, 3, size=(5, 3)), 24)
        m.painter.cord(f"brown fat {s}", line, 6.0, value, patchy=0.45, patch_mm=30, edge=6.0)
        for n in range(8):
            z = 560 - 22 * n
            x, y = (float(c) for c in m.body.curve(m.body.spine, np.array(z)))
            m.focus(
                f"paravertebral {s} {n}", np.array([x + 24 * s, y - 8, z]), 4.0, 0.45 * value * rng.uniform(0.6, 1.2)
            )


def _granuloma(m: Mimicry, rng: np.random.Generator) -> None:
    """A small lung nodule of low uptake."""
    p = rng.uniform((-130, -90, 330), (130, 90, 600), size=(400, 3))
    p = p[m.body.lung_distance(*p.T) < -12]
    for n, at in enumerate(p[: int(rng.integers(1, 3))]):
        m.focus(f"granuloma {n}", at, float(rng.uniform(3.5, 6.5)), float(rng.uniform(0.9, 2.8)))


def _port(m: Mimicry, rng: np.random.Generator) -> None:
    """A port chamber below a clavicle with a faint catheter."""
    side = rng.choice((-1.0, 1.0))
    at = np.array([side * 75, 82, 545])
    m.focus("port", at, 7.0, float(rng.uniform(1.8, 5.0)))
    line = np.array([at, (side * 50, 50, 590), (14, 10, 560), (16, 14, 500)], dtype=float)
    m.painter.cord("catheter", smooth_path(line, 16), 2.2, 2.0, edge=5.0)


def _injection(m: Mimicry, rng: np.random.Generator) -> None:
    """Tracer left in an arm, sometimes along the vein."""
    line, _ = m.body.limbs[rng.choice(("right arm", "left arm"))]
    path = smooth_path(line, 40)
    start = int(rng.integers(14, 34))
    value = float(np.exp(rng.uniform(np.log(4), np.log(60))))
    m.painter.cord("injection", path[start : start + 2] + rng.normal(0, 6, size=3), 7.0, value, edge=5.0)
    if rng.random() < 0.4:
        m.painter.cord("vein", path[8:start] + np.array([0, 10, 0]), 2.5, 0.3 * value, edge=5.0)


MIMICS: dict[str, Callable[[Mimicry, np.random.Generator], None]] = {
    "pneumonia": _pneumonia,
    "reactive hilar nodes": _hilar_nodes,
    "reactive axillary nodes": _axillary_nodes,
    "reactive cervical nodes": _cervical_nodes,
    "oesophagitis": _oesophagitis,
    "rib fractures": _rib_fractures,
    "vertebral fracture": _vertebral_fracture,
    "brown fat": _brown_fat,
    "granuloma": _granuloma,
    "port": _port,
    "injection site": _injection,
}
