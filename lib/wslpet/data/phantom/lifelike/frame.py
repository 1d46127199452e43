"""Body geometry of the lifelike phantoms, fitted to 457 patients (see docs/reference/phantoms.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.anatomy import (
    AORTA,
    OESOPHAGUS,
    REFERENCE_BMI,
    REFERENCE_HEIGHT_M,
    SPINE,
    Body,
    bend_path,
    lowered_arm,
    oval,
    stream,
)
from wslpet.data.phantom.body.shapes import Axes, Point, Waves, smooth_path
from wslpet.data.phantom.settings import CohortSettings

VERTEX_Z = 880.0
# Lean outline, rows of z, half-width, half-depth, centre y (reference mm); the head lies forward, on a cushion.
OUTLINE = np.array([
    (-190, 140, 60, -4), (-110, 152, 84, -6), (-60, 164, 98, -8), (10, 166, 104, -8), (80, 156, 100, -8),
    (150, 140, 92, 0), (215, 133, 88, 3), (280, 138, 95, 2), (350, 146, 103, 0), (450, 152, 107, -4),
    (515, 160, 103, -10), (548, 166, 92, -14), (572, 158, 78, -18), (590, 132, 66, -20), (606, 100, 60, -18),
    (622, 72, 56, -12), (642, 60, 56, 0), (668, 59, 62, 12), (690, 66, 76, 22), (720, 74, 90, 28), (760, 79, 98, 30),
    (805, 80, 98, 29), (842, 68, 82, 28), (866, 42, 52, 28), (VERTEX_Z, 4, 6, 28),
], dtype=float)  # fmt: skip
# Inside of the rib cage, rows of z, half-width, half-depth, centre y.
CAGE = np.array([
    (285, 126, 84, 0), (340, 132, 92, 0), (400, 131, 94, 0), (470, 124, 90, -1), (520, 108, 78, -6),
    (550, 82, 58, -14), (574, 44, 32, -22), (586, 10, 8, -24),
], dtype=float)  # fmt: skip
HEART = ((-27.0, 31.0, 428.0), (61.0, 48.0, 53.0))
HEAD_Y = 31.0


@dataclass(frozen=True, eq=False)
class LifelikeBody(Body):
    """A body whose rib cage, outline and organs vary independently of each other.

    Parameters
    ----------
    outline, cage : tables as `OUTLINE` and `CAGE`.
    liver_low, liver_tilt, liver_left : the liver's lowest height, the slope of its lower edge, its left end.
    head_shift, pelvis_shift : shift (x, y) of head and pelvis against the reference body, mm; see `lean`.
    """

    outline: Array = field(repr=False, default_factory=lambda: OUTLINE)
    cage: Array = field(repr=False, default_factory=lambda: CAGE)
    liver_low: float = 268.0
    liver_tilt: float = 0.55
    liver_left: float = -62.0
    head_shift: tuple[float, float] = (0.0, 0.0)
    pelvis_shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, seed: int, settings: CohortSettings) -> LifelikeBody:
        """Sample a patient of a cohort; the same seed gives the same patient."""
        rng = stream(seed, "lifelike body")
        height = float(np.clip(rng.normal(*settings.height_m), 1.45, 2.0))
        bmi = float(np.clip(settings.bmi[0] * np.exp(rng.normal(0, settings.bmi[1] / settings.bmi[0])), 15.5, 46.0))
        along = height / REFERENCE_HEIGHT_M
        across = along**0.5 * (bmi / REFERENCE_BMI) ** 0.2
        scale = np.array([across * rng.normal(1, 0.035), across * rng.normal(1, 0.04), along * rng.normal(1, 0.02)])
        arms = "down" if rng.random() < settings.arms_down else "up"
        fat = 4.0 + 1.9 * max(bmi - 17.0, 0.0) * rng.uniform(0.45, 1.3)
        breath = rng.normal(0, 11)
        head, low = tuple(rng.normal(0, (9, 20))), tuple(rng.normal(0, (6, 15)))
        spine = bend_path(SPINE, rng, (5.0, 3.0))
        return cls(
            seed=seed,
            height_m=height,
            bmi=bmi,
            fat_mm=float(fat),
            arms=arms,
            sex="female" if stream(seed, "sex").random() < 0.45 else "male",
            scale=scale,
            spine=spine + _shift(spine[:, 2], head, low),
            oesophagus=bend_path(OESOPHAGUS, rng, (5.0, 4.0)),
            aorta=smooth_path(AORTA + rng.normal(0, (5, 4, 7), size=(1, 3)), 22),
            dome=(428.0 + breath + rng.normal(0, 5), 415.0 + breath + rng.normal(0, 6)),
            heart=(
                np.array(HEART[0]) + rng.normal(0, (8, 4, 5)) + (0, 0, 0.5 * breath),
                np.array(HEART[1]) * rng.normal(1, 0.06) * rng.normal(1, 0.05, size=3),
            ),
            limbs=_limbs(rng, arms, float(fat)),
            outline=_varied(OUTLINE, rng, 0.05),
            cage=_varied(CAGE, rng, 0.035),
            liver_low=float(rng.normal(262, 20)),
            liver_tilt=float(np.clip(rng.normal(0.55, 0.12), 0.25, 0.9)),
            liver_left=float(rng.normal(-54, 20)),
            head_shift=head,
            pelvis_shift=low,
        )

    def trunk_distance(self, axes: Axes, inset: float = 0.0) -> Array:
        """Signed distance (mm, negative inside), (x, y, z), to the skin of trunk, neck and head, less `inset`."""
        z = axes.z
        grow = self.fat_mm * np.interp(z, (596, 680), (1.0, 0.12)) - inset * np.interp(z, (596, 680), (1.0, 0.25))
        a, b, yc = (np.interp(z, self.outline[:, 0], self.outline[:, c]) for c in (1, 2, 3))
        shape = stream(self.seed, "lifelike outline").normal(0, 1, size=4)
        female = float(self.sex == "female")
        a = a + (6 * female + 6 * shape[0]) * np.exp(-(((z - 20) / 90) ** 2))
        a = a - (6 * female - 4 * shape[1]) * np.exp(-(((z - 550) / 70) ** 2))
        paunch = max(self.bmi - 23 + 2 * shape[3], 0)
        belly = 1.1 * paunch * np.exp(-(((z - 215) / 110) ** 2))
        xs, ys, _ = _shift(z, self.head_shift, self.pelvis_shift).T
        distance = oval(axes, a + grow + 0.7 * belly, b + grow + belly, xs, yc + ys + belly * 0.7)
        # The trunk ends in an inverted V between the legs.
        np.maximum(distance, (-36 - axes.mesh[2] - np.abs(axes.mesh[0])) * np.float32(0.7), out=distance)
        np.maximum(distance, (-120 - axes.mesh[2]) * np.float32(0.9), out=distance)
        return np.maximum(distance, axes.mesh[2] - VERTEX_Z, out=distance)

    def lean(self, points: Point) -> Array:
        """Points (..., 3) of the reference body, moved with this body's head and pelvis."""
        at = np.asarray(points, dtype=float)
        moved: FloatArray = np.add(at, _shift(at[..., 2], self.head_shift, self.pelvis_shift))
        return moved

    def liver_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (mm, negative inside) to the liver: a wedge under the dome, thinner to the left."""
        under = np.maximum(self.cage_distance(x, y, z) + 4, (z - self.dome_height(x, y) + 6) * np.float32(0.85))
        low = self.liver_low + self.liver_tilt * (115 - x) + 22 * np.clip((-20 - y) / 60, 0, None) ** 2
        behind = -70 + 92 / (1 + np.exp((x - 20) / np.float32(14)))
        wedge = np.maximum((low - z) * np.float32(0.8), behind - y)
        left = np.maximum((self.liver_left - x), np.float32(0.6) * (y - 92))
        distance: FloatArray = np.maximum(np.maximum(under, wedge), left).astype(np.float32)
        return distance


def _shift(z: Array, head: tuple[float, float], pelvis: tuple[float, float]) -> Array:
    above, below = np.interp(z, (585, 720), (0, 1)), np.interp(z, (80, 330), (1, 0))
    flat = [above * h + below * p for h, p in zip(head, pelvis, strict=True)]
    shift: FloatArray = np.stack([*flat, np.zeros_like(flat[0])], axis=-1)
    return shift


def surface_waves(body: Body, name: str, wavelength_mm: float) -> Waves:
    """Random field that makes an organ's surface uneven."""
    return Waves.draw(stream(body.seed, name + " surface"), wavelength_mm)


def _varied(table: Array, rng: np.random.Generator, sd: float) -> Array:
    """Scale half-widths and half-depths smoothly at random."""
    varied = table.copy()
    u = np.linspace(0, np.pi, len(table))
    for column in (1, 2):
        varied[:, column] *= rng.normal(1, sd) + rng.normal(0, 0.5 * sd) * np.cos(u)
    return varied


def _limbs(rng: np.random.Generator, arms: str, fat: float) -> dict[str, tuple[Array, Array]]:
    """Centre lines (n, 3) and radii (n,) of arms and legs, in reference mm."""
    thick, limbs = 0.4 * fat, {}
    raised = rng.normal(0, 1, size=3)
    spread, knee = rng.normal(0, 10), rng.normal(0, 6)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        bend = 0.8 * rng.normal(0, 1, size=6) + 0.6 * rng.normal(0, 1)
        if arms == "down":
            line = lowered_arm(556, bend, fat)
        else:
            elbow = (204 + 22 * raised[0] + 8 * bend[1], 14, 765 + 22 * raised[1])
            wrist = (118 + 26 * raised[2] + 10 * bend[3], 40 + 12 * bend[4], 870)
            line = [(146, -12, 562), (178 + 10 * bend[0], -2, 650), elbow, wrist, (42 + 20 * bend[5], 44, 935)]
        radii = np.array([46, 44, 36, 31, 22]) + thick * np.array([1, 1, 0.6, 0.4, 0.1])
        limbs[f"{side} arm"] = (np.array(line, dtype=float) * (sign, 1, 1), radii)
        hip = 88.0 + 0.3 * fat
        leg = [(hip, -6, 30), (hip + 2 + spread, -5, -80), (hip - 6 + spread, -4, -220), (80 + spread + knee, -2, -400),
               (74 + spread + knee, -22, -520), (68 + spread, -14, -720), (66 + spread, -6, -800),
               (74 + spread + 12 * bend[2], 40, -880)]  # fmt: skip
        girth = np.array([80, 78, 70, 54, 55, 36, 32, 24]) + fat * np.array([0.8, 0.8, 0.8, 0.3, 0.3, 0.2, 0.1, 0])
        limbs[f"{side} leg"] = (np.array(leg, dtype=float) * (sign, 1, 1), girth)
    return limbs
