"""Liver, spleen, stomach and bowel."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter, turned
from wslpet.data.phantom.body.shapes import Waves, smooth_path
from wslpet.data.phantom.body.trunk import under_diaphragm
from wslpet.data.phantom.lifelike.frame import surface_waves


def liver_and_spleen(p: Painter) -> None:
    """Liver with gallbladder, spleen, pancreas, adrenals."""
    body, canvas, u, rng = p.body, p.canvas, p.uptake, p.stream("liver")
    liver = p.level("liver", u.liver) * (body.bmi / 25.0) ** 0.25
    box = canvas.reference_box((-100, -100, 200), (145, 110, 450), 0)
    if box is not None:
        x, y, z = box.reference.mesh
        distance = body.liver_distance(x, y, z) + np.float32(3.5) * surface_waves(body, "liver", 60.0).on(box.reference)  # type: ignore[attr-defined]
        coarse, fine = Waves.draw(rng, 45.0).on(box.reference), Waves.draw(rng, 12.0, 24).on(box.reference)
        value = np.float32(liver) * (1 + np.float32(0.03) * coarse + np.float32(0.04) * fine)
        canvas.paint(box, canvas.fraction(distance, 7.0), value, "liver")
    if rng.random() < 0.6:
        low = body.liver_low + 0.55 * 70  # type: ignore[attr-defined]
        p.blob("gallbladder", (45, 50, low + 18), (12, 12, 24), rng.uniform(0.3, 1.0) * liver, rotation=turned(y=15))
    size = float(np.exp(rng.normal(0.0, 0.17)))
    spleen = p.level("spleen", u.spleen)
    p.blob("spleen", (-94, -38, 350 + rng.normal(0, 7)), np.array([37, 58, 55]) * size, spleen,
           rotation=turned(z=46, y=-10), clip=under_diaphragm(body, 0.85), edge=7.0, grain_mm=14)  # fmt: skip
    pancreas = np.array([(40, 8, 262), (14, 16, 275), (-25, 6, 288), (-66, -18, 305)], dtype=float) + rng.normal(
        0, 5, size=(4, 3)
    )
    p.cord(
        "pancreas",
        smooth_path(pancreas, 16),
        np.linspace(13, 8, 16),
        liver * rng.uniform(0.4, 0.75),
        patchy=0.25,
        edge=6.0,
    )
    for s in (1, -1):
        p.blob(f"adrenal {s}", (34 * s, -40, 322), (5, 8, 13), liver * rng.uniform(0.7, 1.3), rotation=turned(y=20 * s))


def digestive_tract(p: Painter) -> None:
    """Stomach, colon in its frame with haustra, small bowel as a random walk."""
    stomach(p)
    rng = p.stream("bowel path")
    wide = 1.0 + 0.004 * p.body.fat_mm
    colon = np.array([
        (92, 4, 112), (100, -6, 165), (96, -10, 225), (80, 30, 248), (40, 58, 226), (0, 64, 208), (-45, 58, 236),
        (-86, 20, 282), (-104, -24, 290), (-106, -26, 200), (-98, -12, 135), (-62, 14, 95), (-24, 0, 120),
        (-4, -34, 90), (0, -48, 35),
    ], dtype=float) * (wide, 1, 1)  # fmt: skip
    colon[1:-1] += rng.normal(0, (9, 7, 15), size=(len(colon) - 2, 3))
    path = smooth_path(colon, 84)
    value = p.level("bowel", p.uptake.bowel, logarithmic=True)
    width = rng.uniform(11, 19) * np.exp(0.15 * rng.normal(size=84))
    haustra = float(rng.uniform(0.2, 0.8))
    p.cord("colon", path, width, 0.55 * value, patchy=haustra, patch_mm=float(rng.uniform(18, 45)),
           shell=float(rng.uniform(4, 8)), core=0.45 * value, edge=6.0)  # fmt: skip
    _hot_segments(p, path, width, value, rng)
    walk = rng.uniform((-86, -10, 80), (86, 64, 232), size=(int(rng.integers(26, 48)), 3))
    walk = smooth_path(walk, 4 * len(walk))
    p.cord(
        "small bowel",
        walk,
        float(rng.uniform(7, 11)),
        value * rng.uniform(0.35, 0.7),
        patchy=0.35,
        patch_mm=40,
        edge=6.0,
    )
    duodenum = np.array([(24, 40, 285), (52, 12, 270), (50, -4, 225), (10, -10, 215), (-24, 0, 232)], dtype=float)
    p.cord(
        "duodenum",
        smooth_path(duodenum + rng.normal(0, 6, size=(5, 3)), 20),
        10.0,
        value * rng.uniform(0.4, 0.9),
        patchy=0.3,
        edge=6.0,
    )


def _hot_segments(p: Painter, path: Array, width: Array, value: float, rng: np.random.Generator) -> None:
    """Segments of the colon, most often on the right, with far higher uptake, as after metformin."""
    for n in range(int(rng.choice((0, 1, 2, 3, 5), p=(0.4, 0.25, 0.15, 0.1, 0.1)))):
        start = int(rng.integers(0, 24) if rng.random() < 0.5 else rng.integers(0, 76))
        part = slice(start, min(start + int(rng.integers(4, 26)), 84))
        hot = value * np.exp(rng.uniform(0.0, 1.4))
        p.cord(f"hot colon {n}", path[part], width[part], hot, patchy=0.5, patch_mm=float(rng.uniform(14, 32)),
               shell=6.0, core=0.5 * hot, edge=5.0)  # fmt: skip


def stomach(p: Painter) -> None:
    """Stomach from fundus to antrum, its wall brighter than its content."""
    rng = p.stream("stomach shape")
    wall, full = p.level("stomach", p.uptake.stomach), rng.normal(1.0, 0.16)
    line = np.array([(-62, 2, 374), (-72, 20, 354), (-66, 44, 326), (-34, 60, 304), (14, 56, 300)], dtype=float)
    line = smooth_path(line + rng.normal(0, (8, 8, 7), size=(5, 3)), 16)
    radii = np.interp(np.linspace(0, 1, 16), (0, 0.25, 0.6, 0.8, 1), (28, 34, 29, 22, 15)) * full
    p.cord(
        "stomach",
        line,
        radii,
        wall,
        patchy=0.2,
        shell=float(rng.uniform(6, 11)),
        core=rng.uniform(0.4, 0.9) * wall,
        edge=7.0,
    )
