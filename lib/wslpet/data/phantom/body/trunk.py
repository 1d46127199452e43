"""Uptake of the organs of chest and abdomen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.anatomy import Body
from wslpet.data.phantom.body.canvas import Box
from wslpet.data.phantom.body.painter import Clip, Painter, turned
from wslpet.data.phantom.body.shapes import Waves, ellipsoid, smooth_path
from wslpet.data.phantom.body.tissue import spine


def chest_cavity(p: Painter, box: Box, blood: float) -> None:
    """Fill the rib cage above the diaphragm with mediastinal tissue, between blood and muscle."""
    x, y, z = box.reference.mesh
    inside = p.canvas.fraction(p.body.cage_distance(x, y, z))
    inside *= p.canvas.fraction(p.body.dome_height(x, y) - z)
    p.canvas.paint(box, inside, 0.3 * blood + 0.4 * p.drawn["muscle"])


def chest(p: Painter) -> None:
    """Lungs, heart, great vessels, oesophagus and airway."""
    body, canvas, u = p.body, p.canvas, p.uptake
    blood = p.level("blood", u.blood)
    box = canvas.reference_box((-145, -105, 285), (145, 100, 618), 0)
    if box is not None:
        x, y, z = box.reference.mesh
        chest_cavity(p, box, blood)
        lung = p.level("lung", u.lung)
        grain = Waves.draw(p.stream("lung texture"), 40.0).on(box.reference)
        value = np.float32(lung) * (1 + np.float32(0.10) * grain - np.float32(0.0022) * y)
        canvas.paint(box, canvas.fraction(body.lung_distance(x, y, z), 7.0), value)
        spine(p, p.drawn["marrow"])
    for s in (1, -1):
        for n, (dx, dz) in enumerate(((16, 6), (30, -14), (32, 22))):
            line = np.array([(22 * s, -12, 488), ((22 + dx) * s, -16, 488 + dz)], dtype=float)
            p.cord(f"hilar vessel {s} {n}", line, np.array([9.0, 5.0]), 0.75 * blood, edge=6.0)
    airway = np.array([(2, 4, 650), (2, -14, 590), (2, -22, 545), (0, -22, 515)], dtype=float)
    p.cord("trachea", airway, 8.0, 0.3)
    p.cord("aorta", body.aorta, np.linspace(15, 10, len(body.aorta)), blood)
    oesophagus = p.level("oesophagus", (0.8 * blood, 1.2 * blood))
    p.cord("oesophagus", body.oesophagus, 6.5, oesophagus, patchy=0.12)
    end = body.oesophagus[-9:]
    p.cord("junction", end, np.linspace(6, 10, len(end)), p.level("junction", u.junction), patchy=0.2, edge=6.0)
    heart(p, blood)


def heart(p: Painter, blood: float) -> None:
    """Blood pool and left ventricular myocardium, whose uptake varies from none to intense."""
    rng = p.stream("heart")
    centre, radii = p.body.heart
    p.blob("heart blood", centre, radii * 0.95, 0.95 * blood, jitter=0, warp=0.04, edge=8.0)
    silent = rng.random() < p.uptake.silent_myocardium
    muscle = 1.1 * blood if silent else p.level("myocardium", p.uptake.myocardium, logarithmic=True)
    p.drawn["myocardium"] = round(muscle, 3)
    wall = Myocardium(
        centre=centre + np.array([-16, 4, -8]),
        radii=np.array([33.0, 33, 46]),
        axis=Rotation.align_vectors([(-0.62, 0.55, -0.56)], [(0, 0, 1)])[0],
        scale_mm=36.0,
        wall_mm=11.0,
        base_mm=22.0,
        reach_mm=52.0,
    )
    lateral = Waves.draw(rng, 70.0)
    paint_myocardium(p, wall, muscle, float(rng.uniform(0.08, 0.3)), lateral)


@dataclass(frozen=True, eq=False)
class Myocardium:
    """Wall of a ventricle: a cup of muscle, open at its base.

    Parameters
    ----------
    centre, radii : (3,) of the ellipsoid of its outer surface, reference mm.
    axis : rotation from z to the direction from base to apex.
    scale_mm : radius by which the ellipsoid's normalised distance becomes mm.
    wall_mm : thickness of the wall.
    base_mm : distance of the open base from the centre.
    reach_mm : half-width of the box that is painted.
    """

    centre: Array
    radii: Array
    axis: Rotation
    scale_mm: float
    wall_mm: float
    base_mm: float
    reach_mm: float


def paint_myocardium(p: Painter, wall: Myocardium, value: float, patchy: float, lateral: Waves) -> None:
    """Paint the wall of a ventricle with uptake `value` (SUV), varied by a random field with the log-SD `patchy`."""
    box = p.canvas.reference_box(wall.centre - wall.reach_mm, wall.centre + wall.reach_mm)
    if box is None:
        return
    x, y, z = (m - np.float32(c) for m, c in zip(box.reference.mesh, wall.centre, strict=True))
    direction = wall.axis.apply((0, 0, 1)).astype(np.float32)
    along = direction[0] * x + direction[1] * y + direction[2] * z
    outer = (ellipsoid(box.reference, wall.centre, wall.radii, wall.axis) - 1) * np.float32(wall.scale_mm)
    shell = np.maximum(outer, -(outer + np.float32(wall.wall_mm)))
    shell = np.maximum(shell, -along - np.float32(wall.base_mm))
    amount = np.float32(value) * np.exp(np.float32(patchy) * lateral.on(box.reference))
    p.canvas.paint(box, p.canvas.fraction(shell), amount)


def under_diaphragm(body: Body, slope: float) -> Clip:
    """Clip organs to the space 5 mm below the diaphragm and 2 mm inside the rib cage."""

    def outside(x: Array, y: Array, z: Array) -> Array:
        above = (z - body.dome_height(x, y) + np.float32(5)) * np.float32(slope)
        distance: Array = np.maximum(above, body.cage_distance(x, y, z) + np.float32(2))
        return distance

    return outside


def abdomen(p: Painter) -> None:
    """Liver, spleen, stomach, bowel, kidneys, ureters and bladder."""
    body, u, below_dome = p.body, p.uptake, under_diaphragm(p.body, 0.8)
    stomach(p)
    bowel(p)
    liver = p.level("liver", u.liver) * (body.bmi / 25.0) ** 0.3
    drop = p.stream("liver size").normal(0, 8)
    p.blob(
        "liver", (63, 0, 320 + 0.5 * drop), (86, 80, 90 + 0.5 * abs(drop)), liver,
        rotation=turned(y=20), clip=below_dome, texture=0.04, edge=7.0,
    )  # fmt: skip
    p.blob("left liver", (-10, 36, 342), (66, 42, 38), liver, clip=below_dome, texture=0.04, edge=7.0)
    p.blob(
        "spleen",
        (-94, -42, 322),
        (26, 38, 52),
        p.level("spleen", u.spleen),
        clip=below_dome,
        rotation=turned(y=-14),
        edge=7.0,
    )
    kidney, urine = p.level("kidney", u.kidney), p.level("collecting system", u.collecting_system, logarithmic=True)
    for side, s, z in (("right", 1, 238.0), ("left", -1, 256.0)):
        kidney_and_ureter(p, side, s, z, kidney, urine)
    rng = p.stream("bladder size")
    size = rng.uniform(24, 46)
    bladder = p.level("bladder", u.bladder, logarithmic=True)
    p.blob(
        "bladder",
        (0, 14, 34 + 0.6 * size),
        size * rng.uniform((1.0, 0.85, 0.65), (1.3, 1.05, 0.95)),
        bladder,
        texture=0.0,
    )
    if body.sex == "male" and rng.random() < 0.7:
        value = float(rng.uniform(1.5, 3.5))
        for s in (1, -1):
            p.blob(f"testis {s}", (16 * s, 72, -38), (12, 14, 18), value, jitter=4)


def kidney_and_ureter(p: Painter, side: str, s: int, z: float, cortex: float, urine: float) -> None:
    """Kidney, renal pelvis and ureter of one side (`s`: +1 right, -1 left)."""
    rng = p.stream(f"{side} urinary tract")
    centre = np.array([66.0 * s, -52.0, z]) + rng.normal(0, (5, 4, 10))
    tilt = turned(y=-12 * s, x=8)
    p.blob(f"{side} kidney", centre, (27, 25, 54), cortex, rotation=tilt, texture=0.14, jitter=0)
    pelvis = centre + np.array([(2 * s, 0, 26), (-7 * s, 2, 12), (-18 * s, 6, -4), (-6 * s, 2, -15), (4 * s, 0, -27)])
    pelvis = smooth_path(pelvis + rng.normal(0, 3, size=(5, 3)), 14)
    p.cord(f"{side} collecting system", pelvis, rng.uniform(3, 6.5, size=14), 0.6 * urine, patchy=0.6, patch_mm=30)
    hilum = centre + np.array([-22 * s, 8, -8])
    below = np.array([(42 * s, -20, z - 70), (36 * s, -14, 140), (48 * s, -30, 85), (18 * s, -8, 38)])
    path = smooth_path(np.vstack([hilum, below]), 28)
    value = np.exp(rng.uniform(*np.log(p.uptake.ureter)))
    for n in range(int(rng.integers(0, 4))):
        start, length = int(rng.integers(0, 24)), int(rng.integers(2, 9))
        segment = path[start : start + length]
        if len(segment) > 1:
            p.cord(f"{side} ureter {n}", segment, 2.6, float(value * rng.uniform(0.5, 1.2)), patchy=0.3)


def stomach(p: Painter) -> None:
    """Stomach, its wall brighter than its content."""
    rng = p.stream("stomach shape")
    wall = p.level("stomach", p.uptake.stomach)
    full = rng.uniform(0.7, 1.15)
    p.blob(
        "stomach", (-58, 22, 318), (42 * full, 34 * full, 52 * full), wall,
        rotation=turned(y=28), texture=0.2, grain_mm=40, shell=9.0, core=0.6,
    )  # fmt: skip


def bowel(p: Painter) -> None:
    """Colon in its frame and small bowel as a random walk, both patchy."""
    rng = p.stream("bowel path")
    colon = np.array([
        (92, 8, 105), (98, -8, 165), (94, -6, 222), (60, 48, 235), (0, 62, 215), (-55, 52, 240), (-98, -20, 268),
        (-102, -22, 200), (-98, -8, 140), (-62, 10, 105), (-20, -10, 110), (-2, -38, 85), (0, -48, 40),
    ], dtype=float)  # fmt: skip
    colon[1:-1] += rng.normal(0, (7, 6, 11), size=(len(colon) - 2, 3))
    value = p.level("bowel", p.uptake.bowel, logarithmic=True)
    p.cord("colon", smooth_path(colon, 48), 17.0, 0.8 * value, patchy=0.4, patch_mm=75, shell=7.0, core=0.5 * value)
    walk = rng.uniform((-76, -8, 80), (76, 60, 222), size=(34, 3))
    p.cord("small bowel", smooth_path(walk, 100), 10.0, 0.65 * value, patchy=0.35, patch_mm=50, edge=6.0)
