"""Skin, fat, muscle, breasts and the large vessels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Waves, smooth_path
from wslpet.data.phantom.body.tissue import in_front_of


def soft_tissue(p: Painter) -> None:
    """Skin, subcutaneous fat, muscle and the fat of the belly."""
    body, canvas, rng = p.body, p.canvas, p.stream("soft tissue")
    fat, muscle = p.level("fat", p.uptake.fat), p.level("muscle", p.uptake.muscle)
    for name, (line, radii) in body.limbs.items():
        p.cord(name + " fat", line, radii, fat, edge=6.0)
    box = canvas.reference_box((-270, -210, -240), (270, 220, 890))
    if box is not None:
        coarse, fine = Waves.draw(p.stream("muscle texture"), 60.0, 24), Waves.draw(p.stream("muscle grain"), 14.0, 24)
        outside = body.trunk_distance(box.reference)
        canvas.paint(box, canvas.fraction(outside), fat * rng.uniform(0.9, 1.6))
        canvas.paint(box, canvas.fraction(outside + np.float32(4)), fat)
        inner = canvas.fraction(body.trunk_distance(box.reference, inset=body.fat_mm), 8.0)
        texture = np.float32(0.18) * coarse.on(box.reference) + np.float32(0.22) * fine.on(box.reference)
        canvas.paint(box, inner, np.float32(muscle) * np.exp(texture))
    for name, (line, radii) in body.limbs.items():
        lean = np.maximum(radii - 0.55 * body.fat_mm, 0.6 * radii)
        p.cord(name, line, lean, muscle, patchy=0.16, patch_mm=40, edge=8.0)
        _muscle_bellies(p, name, line, lean, muscle)
    visceral = float(rng.uniform(0.2, 0.7))
    p.blob("belly", (0, 20, 200), (112 + 0.3 * body.fat_mm, 68, 150), (1 - visceral) * fat + visceral * muscle,
           texture=0.3, grain_mm=22, edge=10.0)  # fmt: skip
    if body.sex == "female":
        _breasts(p, fat, rng)
    _hot_muscles(p, muscle)


def _muscle_bellies(p: Painter, name: str, line: Array, lean: Array, muscle: float) -> None:
    """Strands along a limb with slightly higher or lower uptake."""
    rng = p.stream(name + " bellies")
    path, size = smooth_path(line, 30), np.interp(np.linspace(0, 1, 30), np.linspace(0, 1, len(lean)), lean)
    for n in range(5):
        angle = rng.uniform(0, 2 * np.pi)
        start = int(rng.integers(0, 18))
        part = slice(start, start + int(rng.integers(7, 12)))
        away = 0.5 * size[part, None] * np.array([np.cos(angle), np.sin(angle), 0])
        p.cord(
            f"{name} belly {n}", path[part] + away, 0.32 * size[part], muscle * np.exp(rng.normal(0, 0.22)), edge=8.0
        )


def _breasts(p: Painter, fat: float, rng: np.random.Generator) -> None:
    size, gland, front = 26 + 0.9 * p.body.fat_mm, rng.uniform(1.1, 3.2), in_front_of(84)
    for s in (1, -1):
        at = np.array([80 * s, 96 + 0.5 * p.body.fat_mm, 438])
        p.blob(f"breast {s}", at, (1.5 * size, 0.65 * size, 1.3 * size), 1.2 * fat, texture=0.2, clip=front)
        p.blob(
            f"gland {s}",
            at,
            (0.9 * size, 0.45 * size, 0.8 * size),
            gland * fat,
            texture=0.3,
            warp=0.2,
            clip=front,
            edge=8.0,
        )
        if rng.random() < 0.5:
            p.blob(f"nipple {s}", np.add(at, (6 * s, 0.6 * size, 0)), (6, 5, 6), rng.uniform(0.8, 2.2), edge=6.0)


# Muscles that are hot after exertion, talking or tension: name, points, radii; the right one of each pair.
_PAIRS: dict[str, tuple[list[tuple[float, float, float]], list[float]]] = {
    "sternomastoid": ([(52, 18, 690), (40, 26, 640), (18, 30, 590)], [6, 8, 5]),
    "scalene": ([(24, 0, 660), (30, 6, 620), (42, 10, 590)], [4, 6, 4]),
    "trapezius": ([(20, -50, 660), (50, -48, 610), (120, -40, 585)], [6, 9, 8]),
    "deltoid": ([(150, 5, 585), (165, 0, 560), (172, -4, 520)], [8, 12, 7]),
    "pectoral": ([(40, 84, 520), (90, 76, 530), (135, 40, 548)], [5, 8, 6]),
    "psoas": ([(36, -36, 235), (46, -30, 170), (64, -2, 80), (76, 4, 30)], [10, 15, 13, 8]),
    "gluteus": ([(60, -84, 100), (90, -86, 60), (104, -70, 10)], [14, 20, 14]),
    "intercostal": ([(96, -70, 480), (128, -20, 450), (112, 50, 420)], [4, 5, 4]),
    "thigh": ([(92, 30, -40), (92, 34, -150), (88, 26, -280)], [14, 20, 12]),
    "calf": ([(80, -40, -460), (78, -48, -540), (70, -34, -640)], [16, 20, 10]),
    "diaphragm crus": ([(14, -40, 330), (20, -44, 300), (18, -40, 260)], [5, 6, 4]),
}


def _hot_muscles(p: Painter, muscle: float) -> None:
    rng = p.stream("hot muscles")
    for name, (points, radii) in _PAIRS.items():
        both = rng.random() < 0.7
        resting = muscle * np.exp(rng.normal(0.1, 0.2))
        hot = rng.random() < (0.08 if name in ("sternomastoid", "scalene", "trapezius") else 0.025)
        level = muscle * np.exp(rng.uniform(0.5, 1.8)) if hot else resting
        for s in (1, -1) if both else (int(rng.choice((-1, 1))),):
            line = smooth_path(np.array(points) * (s, 1, 1) + rng.normal(0, 5, size=(len(points), 3)), 12)
            thick = np.interp(np.linspace(0, 1, 12), np.linspace(0, 1, len(radii)), radii)
            p.cord(f"{name} {s}", line, thick * rng.uniform(0.8, 1.2), level, patchy=0.25 if hot else 0.1, edge=6.0)


def vessels(p: Painter) -> None:
    """Arteries and veins of trunk, neck and limbs: blood pool, and walls of old vessels."""
    blood, rng = p.drawn["blood"], p.stream("vessels")
    body = p.body
    cava = np.array([(24, -24, 100), (22, -22, 220), (24, -10, 320), (22, 4, 390)], dtype=float)
    p.cord("vena cava", smooth_path(cava, 16), 10.0, blood, edge=5.0)
    wall = blood * np.exp(rng.normal(-0.1, 0.2))
    for s in (1, -1):
        line = [(4, -10, 180), (26, -16, 130), (52, 0, 80), (72, 30, 20), (76, 30, -60), (70, 6, -200), (62, -20, -370)]
        iliac = _side(line, s, 4.0, rng)
        p.cord(f"iliac {s}", iliac, np.linspace(6.5, 3.0, 24), wall, patchy=0.2, edge=5.0)
        vein = rng.uniform(0.6, 0.95) * blood
        p.cord(f"iliac vein {s}", np.add(iliac, (-8 * s, -6, 0)), np.linspace(8, 3, 24), vein, edge=5.0)
        neck = _side([(12, 0, 560), (20, 2, 600), (28, 8, 650), (32, 12, 690)], s, 2.5, rng)
        p.cord(f"carotid {s}", neck, 3.5, wall, edge=5.0)
        p.cord(f"jugular {s}", np.add(neck, (9 * s, 4, 0)), 5.0, blood, edge=5.0)
        arm = smooth_path(body.limbs["right arm" if s == 1 else "left arm"][0], 20)[:14]
        into = np.vstack([[(14 * s, 8, 570), (60 * s, 14, 592), (110 * s, 4, 578)], np.add(arm[2:], (-12 * s, 0, 0))])
        radii = np.linspace(6, 2.5, 30)
        p.cord(f"subclavian {s}", smooth_path(into, 30), radii, rng.uniform(0.55, 0.95) * blood, edge=5.0)


def _side(points: Sequence[tuple[float, float, float]], s: int, sd: float, rng: np.random.Generator) -> Array:
    """A smooth path (24, 3) through points of the right side (`s` 1) or their mirror images, jittered."""
    return smooth_path(np.array(points, dtype=float) * (s, 1, 1) + rng.normal(0, sd, size=(len(points), 3)), 24)
