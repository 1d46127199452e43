"""Body geometry: habitus, outline, chest cavity and centre lines, in which organs and tumours are placed."""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.shapes import Axes, Point, smooth_path
from wslpet.data.phantom.settings import CohortSettings

# The reference body: 1.72 m, BMI 24, mm in RAS with the origin at the symphysis, in the middle of the trunk.
# Levels and half-widths after anatomical atlases, rounded; ours.
REFERENCE_HEIGHT_M = 1.72
REFERENCE_BMI = 24.0
VERTEX_Z = 872.0
# Lean outline, rows of z, half-width, half-depth, centre y.
OUTLINE = np.array([
    (-190, 152, 72, -4), (-60, 166, 100, -8), (0, 168, 106, -8), (60, 162, 103, -8), (150, 143, 92, 0),
    (210, 138, 90, 3), (270, 140, 95, 2), (350, 148, 103, 0), (450, 156, 107, -4), (515, 164, 103, -10),
    (545, 166, 92, -16), (570, 158, 78, -22), (588, 136, 66, -26), (604, 108, 60, -28), (620, 76, 56, -26),
    (640, 60, 56, -17), (668, 57, 60, -6), (690, 62, 76, 4), (720, 72, 92, 5), (760, 76, 98, 2),
    (800, 77, 97, -2), (835, 66, 82, -4), (858, 40, 52, -6), (VERTEX_Z, 4, 6, -6),
], dtype=float)  # fmt: skip
# Inside of the rib cage, rows of z, half-width, half-depth, centre y.
CAGE = np.array([
    (290, 128, 82, -4), (330, 134, 88, -2), (400, 136, 92, 0), (480, 128, 88, -2), (540, 108, 74, -8),
    (580, 76, 52, -18), (606, 36, 26, -24), (616, 8, 6, -26),
], dtype=float)  # fmt: skip
# Centre lines, rows of x, y, z.
SPINE = np.array([
    (0, -58, 60), (0, -54, 95), (0, -40, 125), (0, -33, 180), (0, -38, 240), (0, -52, 320), (0, -68, 420),
    (0, -72, 490), (0, -66, 560), (0, -46, 610), (0, -28, 650), (0, -22, 700), (0, -26, 735),
], dtype=float)  # fmt: skip
OESOPHAGUS = np.array([
    (0, -10, 640), (-4, -24, 600), (-6, -40, 555), (-3, -46, 515), (2, -44, 480), (2, -40, 440), (-6, -34, 405),
    (-18, -22, 378), (-31, -8, 361), (-40, 4, 350),
], dtype=float)  # fmt: skip
AORTA = np.array([
    (8, 12, 455), (14, 14, 490), (8, 2, 522), (-10, -25, 532), (-22, -46, 510), (-22, -48, 460), (-16, -44, 400),
    (-8, -30, 330), (-6, -14, 240), (-4, -10, 180),
], dtype=float)  # fmt: skip
HEART = ((-26.0, 14.0, 436.0), (64.0, 48.0, 54.0))


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random generator of one named quantity of a patient; samples of others do not depend on it."""
    return np.random.default_rng([seed, crc32(name.encode())])


def choose(rng: np.random.Generator, weighted: tuple[tuple[object, float], ...]) -> object:
    """Sample one of the (item, weight) pairs."""
    weights = np.array([w for _, w in weighted], dtype=float)
    return weighted[int(rng.choice(len(weighted), p=weights / weights.sum()))][0]


@dataclass(frozen=True, eq=False)
class Body:
    """One patient's body. Coordinates are mm of the reference body; times `scale` (3,) they are the patient's mm.

    Parameters
    ----------
    seed : the patient's random seed.
    height_m, bmi : height (m) and body mass index (kg/m²).
    fat_mm : thickness of the subcutaneous fat at the trunk.
    arms : "up" or "down".
    sex : "female" or "male".
    spine, oesophagus, aorta : centre lines (n, 3).
    dome : heights of the right and the left dome of the diaphragm.
    heart : centre and radii (3,) of the heart.
    limbs : "right arm", "left leg", … → centre line (n, 3) and radii (n,).
    cage : the inside of the rib cage, as `CAGE`.
    """

    seed: int
    height_m: float
    bmi: float
    fat_mm: float
    arms: str
    sex: str
    scale: Array
    spine: Array
    oesophagus: Array
    aorta: Array
    dome: tuple[float, float]
    heart: tuple[Array, Array]
    limbs: dict[str, tuple[Array, Array]] = field(repr=False)
    cage: Array = field(repr=False, default_factory=lambda: CAGE)

    @classmethod
    def draw(cls, seed: int, settings: CohortSettings) -> Body:
        """Sample a patient of a cohort; the same seed gives the same patient."""
        rng = stream(seed, "body")
        height = float(np.clip(rng.normal(*settings.height_m), 1.48, 2.0))
        bmi = float(np.clip(rng.normal(*settings.bmi), 17.0, 42.0))
        along = height / REFERENCE_HEIGHT_M
        across = along**0.6 * (bmi / REFERENCE_BMI) ** 0.25
        scale = np.array([across * rng.uniform(0.96, 1.04), across * rng.uniform(0.96, 1.06), along])
        arms = "down" if rng.random() < settings.arms_down else "up"
        sex = "female" if stream(seed, "sex").random() < 0.4 else "male"
        fat = 6.0 + 1.7 * max(bmi - 18.0, 0.0) * rng.uniform(0.7, 1.2)
        lower = rng.normal(0, 9)
        return cls(
            seed=seed,
            height_m=height,
            bmi=bmi,
            fat_mm=fat,
            arms=arms,
            sex=sex,
            scale=scale,
            spine=bend_path(SPINE, rng, (4.0, 3.0)),
            oesophagus=bend_path(OESOPHAGUS, rng, (5.0, 4.0)),
            aorta=smooth_path(AORTA + rng.normal(0, (4, 3, 6), size=(1, 3)), 22),
            dome=(398.0 + lower + rng.normal(0, 5), 384.0 + lower + rng.normal(0, 5)),
            heart=(
                np.array(HEART[0]) + rng.normal(0, (5, 4, 4)) + (0, 0, 0.6 * lower),
                np.array(HEART[1]) * rng.uniform(0.9, 1.15, size=3),
            ),
            limbs=_limbs(rng, arms, fat),
        )

    def curve(self, path: Array, z: Array) -> tuple[Array, Array]:
        """Interpolate x and y of a path (n, 3) with monotonic z at heights z."""
        order = np.argsort(path[:, 2])
        return (np.interp(z, path[order, 2], path[order, d]) for d in (0, 1))  # type: ignore[return-value]

    def trunk_distance(self, axes: Axes, inset: float = 0.0) -> Array:
        """Signed distance (mm, negative inside), (x, y, z), to the skin of trunk, neck and head, less `inset`."""
        z = axes.z
        on_head = np.interp(z, (600, 690), (1.0, 0.15))
        grow = self.fat_mm * on_head - inset * np.interp(z, (600, 690), (1.0, 0.3))
        a, b, yc = (np.interp(z, OUTLINE[:, 0], OUTLINE[:, c]) for c in (1, 2, 3))
        shape = stream(self.seed, "outline").normal(0, 1, size=3)
        female = float(self.sex == "female")
        a = a + (6 * female + 4 * shape[0]) * np.exp(-(((z - 20) / 90) ** 2))
        a = a - (7 * female - 4 * shape[1]) * np.exp(-(((z - 550) / 70) ** 2))
        yc = yc - 5 * shape[2] * np.sin(np.clip(z, 0, 640) / 640 * 2 * np.pi)
        belly = 0.9 * max(self.bmi - 24, 0) * np.exp(-(((z - 200) / 110) ** 2))
        distance = oval(axes, a + grow, b + grow + belly, np.zeros(len(z)), yc + belly * 0.8)
        # The trunk ends in an inverted V between the legs.
        np.maximum(distance, (-40 - axes.mesh[2] - np.abs(axes.mesh[0])) * np.float32(0.7), out=distance)
        return np.maximum(distance, axes.mesh[2] - VERTEX_Z, out=distance)

    def lean(self, points: Point) -> Array:
        """Points (..., 3) of the reference body, moved to where this body has them; the plain body does not lean."""
        return np.asarray(points, dtype=float)

    def cage_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (mm, negative inside) to the inside of the rib cage; x, y, z broadcast."""
        a, b, yc = (np.interp(z, self.cage[:, 0], self.cage[:, c]).astype(np.float32) for c in (1, 2, 3))
        q = np.abs(x / a) ** 2.3 + np.abs((y - yc) / b) ** 2.3
        inside = (q ** (1 / 2.3) - 1) * np.minimum(a, b)
        distance: FloatArray = np.maximum(inside, z - self.cage[-1, 0]).astype(np.float32)
        return distance

    def dome_height(self, x: Array, y: Array) -> Array:
        """Height (mm) of the diaphragm."""
        right, left = self.dome
        top = left + (right - left) / (1 + np.exp(-x / np.float32(15)))
        sag = (
            55 * ((np.abs(x) - 62) / 62) ** 2
            + 62 * np.clip((10 - y) / 85, 0, None) ** 2
            + 15 * np.clip(y / 85, 0, None)
        )
        height: FloatArray = (top - sag).astype(np.float32)
        return height

    def mediastinum_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (mm, negative inside) to mediastinum, heart and spine together."""
        half = np.interp(z, (300, 400, 470, 510, 560, 610), (34, 34, 36, 30, 27, 22)).astype(np.float32)
        slab = np.abs(x + 4) - half * np.where(y > 45, 0.55, 1.0).astype(np.float32)
        distance: Array = np.minimum(slab, self.heart_distance(x, y, z))
        return distance

    def heart_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (mm, negative inside) to the heart; x, y, z broadcast."""
        centre, radii = self.heart
        r = np.sqrt(sum(((v - c) / s) ** 2 for v, c, s in zip((x, y, z), centre, radii, strict=True)))
        distance: FloatArray = ((r - 1) * np.mean(radii)).astype(np.float32)
        return distance

    def lung_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (mm, negative inside) to either lung; x, y, z broadcast."""
        outside = np.maximum(self.cage_distance(x, y, z), -self.mediastinum_distance(x, y, z))
        distance: Array = np.maximum(outside, (self.dome_height(x, y) - z) * np.float32(0.8))
        return distance


def oval(axes: Axes, a: Array, b: Array, xc: Array, yc: Array, power: float = 2.3) -> Array:
    """Signed distance (mm, approximate), (x, y, z), to a superellipse whose half-axes and centre change along z.

    Parameters
    ----------
    a, b, xc, yc : (z,) half-axes along x and y, and centre.
    power : exponent of the superellipse; 2 is an ellipse.
    """
    wide, deep, x_centre, y_centre = (values[None, :].astype(np.float32) for values in (a, b, xc, yc))
    x = np.abs((axes.x[:, None] - x_centre) / wide) ** np.float32(power)
    y = np.abs((axes.y[:, None] - y_centre) / deep) ** np.float32(power)
    distance: FloatArray = x[:, None, :] + y[None, :, :]
    distance -= np.float32(1)
    distance *= (np.minimum(a, b) / power).astype(np.float32)
    return distance


def bend_path(path: Array, rng: np.random.Generator, sd: tuple[float, float]) -> Array:
    """Bend a path smoothly at random, SD `sd` (x, y) mm, and resample it to 60 points."""
    u = np.linspace(0, 1, len(path))
    bent = path.copy()
    for d in (0, 1):
        bent[:, d] += sd[d] * sum(
            rng.normal() / n * np.sin(2 * np.pi * n * u / 2 + rng.uniform(0, 6.3)) for n in (1, 2, 3)
        )
    return smooth_path(bent, 60)


def lowered_arm(shoulder_z: float, bend: Array, fat: float) -> list[tuple[float, float, float]]:
    """Centre line of a right arm beside the body, in reference mm; `bend` (6,) is random, with SD 1."""
    return [(158, -16, shoulder_z)] + [(x + fat * 1.1, y, z) for x, y, z in (
        (194 + 6 * bend[0], -22, 440), (222 + 10 * bend[1], -20 + 12 * bend[2], 300),
        (222 + 14 * bend[3], 10 + 15 * bend[4], 160), (205 + 15 * bend[3], 25 + 12 * bend[5], 50))]  # fmt: skip


def _limbs(rng: np.random.Generator, arms: str, fat: float) -> dict[str, tuple[Array, Array]]:
    """Centre lines (n, 3) and radii (n,) of arms and legs, in reference mm."""
    thick = 0.35 * fat
    limbs = {}
    for side, sign in (("right", 1.0), ("left", -1.0)):
        bend = rng.normal(0, 1, size=6)
        if arms == "down":
            line = lowered_arm(558, bend, fat)
        else:
            line = [(160, -12, 578), (185 + 8 * bend[0], 0, 660), (190 + 22 * bend[1], 15 + 12 * bend[2], 800),
                    (110 + 25 * bend[3], 35 + 12 * bend[4], 930), (40 + 20 * bend[5], 40, 1010)]  # fmt: skip
        radii = np.array([46, 44, 37, 32, 24]) + thick * np.array([1, 1, 0.7, 0.5, 0.2])
        limbs[f"{side} arm"] = (np.array(line) * (sign, 1, 1), radii)
        leg = np.array([(88, -6, 30), (90, -5, -80), (86, -2, -200), (80, 0, -420)]) * (sign, 1, 1)
        limbs[f"{side} leg"] = (leg, np.array([80, 78, 70, 56]) + fat * np.array([0.9, 0.9, 0.8, 0.5]))
    return limbs
