"""Physiological uptake of each organ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.anatomy import OUTLINE, Body, stream
from wslpet.data.phantom.body.canvas import Canvas
from wslpet.data.phantom.body.shapes import Point, Waves, ellipsoid, smooth_path, tube
from wslpet.data.phantom.settings import Range, Uptake

Clip = Callable[[Array, Array, Array], Array]


class Painter:
    """Paints organs of one body on a canvas. Positions and radii are mm of the reference body, values SUV."""

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
        """An ellipsoid with a wavy surface; `shell` mm thick around a `core` value if that is given."""
        rng = self.stream(name)
        middle = np.asarray(centre, dtype=float) + rng.normal(0, jitter, size=3)
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
        """A tube along `points` (n, 3); `patchy` is the log-SD of uptake along it."""
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

    def paint_all(self) -> None:
        """Paint every organ, from the outside in."""
        soft_tissue(self)
        skeleton(self)
        chest(self)
        abdomen(self)
        head_and_neck(self)


def soft_tissue(p: Painter) -> None:
    """Skin, subcutaneous fat, muscle and the fat of the belly."""
    body, canvas = p.body, p.canvas
    fat, muscle = p.level("fat", p.uptake.fat), p.level("muscle", p.uptake.muscle)
    grain = Waves.draw(p.stream("muscle texture"), 30.0, 32)
    for name, (line, radii) in body.limbs.items():
        p.cord(name + " fat", line, radii, fat)
    box = canvas.reference_box((-260, -200, -230), (260, 200, 880))
    if box is not None:
        canvas.paint(box, canvas.fraction(body.trunk_distance(box.reference)), fat)
        inner = canvas.fraction(body.trunk_distance(box.reference, inset=body.fat_mm), 9.0)
        canvas.paint(box, inner, np.float32(muscle) * np.exp(np.float32(0.12) * grain.on(box.reference)))
    for name, (line, radii) in body.limbs.items():
        p.cord(name, line, np.maximum(radii - 0.5 * body.fat_mm, 0.6 * radii), muscle, patchy=0.2, edge=8.0)
    p.blob("belly", (0, 18, 190), (112, 66, 165), 0.35 * fat + 0.65 * muscle, texture=0.3, grain_mm=26, edge=10.0)
    if body.sex == "female":
        size = 30 + 0.9 * body.fat_mm
        for s in (1, -1):
            front = float(np.interp(450, OUTLINE[:, 0], OUTLINE[:, 2])) + 0.5 * body.fat_mm
            p.blob(
                f"breast {s}",
                (72 * s, front, 448),
                (1.5 * size, 0.65 * size, 1.3 * size),
                1.2 * fat,
                texture=0.2,
                clip=_front,
            )


def _front(x: Array, y: Array, z: Array) -> Array:
    return np.float32(88) - y


def skeleton(p: Painter) -> None:
    """Red marrow: spine, sacrum, pelvis, proximal femora and humeri, sternum."""
    marrow = p.level("marrow", p.uptake.marrow)
    spine(p, marrow)
    limbs = p.body.limbs
    for side, s in (("right", 1), ("left", -1)):
        p.blob(f"{side} ilium", (68 * s, -38, 122), (11, 34, 46), 0.85 * marrow, rotation=_turn(z=-32 * s, y=18 * s))
        p.blob(f"{side} acetabulum", (76 * s, -18, 52), (16, 24, 26), 0.7 * marrow)
        leg = limbs[f"{side} leg"][0]
        p.cord(
            f"{side} femur",
            np.stack([leg[0], 0.4 * leg[0] + 0.6 * leg[1]]),
            np.array([15.0, 8.0]),
            0.6 * marrow,
            edge=18.0,
        )
        arm = limbs[f"{side} arm"][0]
        p.cord(
            f"{side} humerus",
            np.stack([arm[0], 0.8 * arm[0] + 0.2 * arm[1]]),
            np.array([16.0, 8.0]),
            0.6 * marrow,
            edge=16.0,
        )
        shoulder = np.array([(30 * s, 62, 572), (90 * s, 30, 590), (150 * s, 0, 592)], dtype=float)
        p.cord(f"{side} clavicle", shoulder, 5.0, 0.55 * marrow, edge=10.0)
    p.blob("sacrum", (0, -62, 88), (42, 15, 40), 0.9 * marrow, rotation=_turn(x=-25))
    p.cord("sternum", np.array([(0, 84, 430), (0, 82, 500), (0, 66, 560)], dtype=float), 9.0, 0.8 * marrow)


def spine(p: Painter, marrow: float) -> None:
    """Vertebral bodies with discs between them, and the arches behind."""
    body, canvas = p.body, p.canvas
    box = canvas.reference_box((-45, -125, 60), (45, 15, 735))
    if box is None:
        return
    x, y, z = box.reference.mesh
    cx, cy = (c.astype(np.float32) for c in body.curve(body.spine, z.ravel()))
    half = np.interp(z.ravel(), (60, 180, 320, 480, 600, 735), (27, 25, 20, 16, 10, 8)).astype(np.float32)
    period = np.interp(z.ravel(), (60, 300, 560, 735), (37, 32, 23, 17))
    turns = np.cumsum(np.concatenate([[0], np.diff(z.ravel()) / period[1:]])) + z.ravel()[0] / 30.0
    disc = (0.74 + 0.26 * np.tanh(3 * (np.cos(2 * np.pi * turns) + 0.55))).astype(np.float32)
    r = np.sqrt(((x - cx) / half) ** 2 + ((y - cy) / (0.8 * half)) ** 2)
    vertebra = canvas.fraction((r - 1) * half)
    grain = Waves.draw(p.stream("marrow texture"), 30.0).on(box.reference)
    canvas.paint(box, vertebra, np.float32(marrow) * disc * (1 + np.float32(0.08) * grain))
    arch = np.sqrt((x - cx) ** 2 + ((y - cy + 1.6 * half) * np.float32(0.8)) ** 2) - 0.5 * half
    canvas.paint(box, canvas.fraction(np.maximum(arch, 110 - z)), np.float32(0.65 * marrow) * disc)


def chest(p: Painter) -> None:
    """Lungs, heart, great vessels, oesophagus and airway."""
    body, canvas, u = p.body, p.canvas, p.uptake
    blood = p.level("blood", u.blood)
    box = canvas.reference_box((-145, -105, 285), (145, 100, 618), 0)
    if box is not None:
        x, y, z = box.reference.mesh
        inside = canvas.fraction(body.cage_distance(x, y, z))
        inside *= canvas.fraction(body.dome_height(x, y) - z)
        canvas.paint(box, inside, 0.3 * blood + 0.4 * p.drawn["muscle"])
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
    ventricle = centre + np.array([-16, 4, -8])
    axis = Rotation.align_vectors([(-0.62, 0.55, -0.56)], [(0, 0, 1)])[0]
    out = axis.apply((0, 0, 1))
    reach = 52.0
    box = p.canvas.reference_box(ventricle - reach, ventricle + reach)
    lateral = Waves.draw(rng, 70.0)
    patchy = rng.uniform(0.08, 0.3)
    if box is None:
        return
    x, y, z = (m - np.float32(c) for m, c in zip(box.reference.mesh, ventricle, strict=True))
    along = np.float32(out[0]) * x + np.float32(out[1]) * y + np.float32(out[2]) * z
    outer = (ellipsoid(box.reference, ventricle, (33, 33, 46), axis) - 1) * np.float32(36)
    wall = np.maximum(outer, -(outer + np.float32(11)))
    wall = np.maximum(wall, -along - np.float32(22))
    value = np.float32(muscle) * np.exp(np.float32(patchy) * lateral.on(box.reference))
    p.canvas.paint(box, p.canvas.fraction(wall), value)


def abdomen(p: Painter) -> None:
    """Liver, spleen, stomach, bowel, kidneys, ureters and bladder."""
    body, u = p.body, p.uptake

    def below_dome(x: Array, y: Array, z: Array) -> Array:
        under = (z - body.dome_height(x, y) + np.float32(5)) * np.float32(0.8)
        return np.maximum(under, body.cage_distance(x, y, z) + np.float32(2))

    stomach(p)
    bowel(p)
    liver = p.level("liver", u.liver) * (body.bmi / 25.0) ** 0.3
    drop = p.stream("liver size").normal(0, 8)
    p.blob(
        "liver", (63, 0, 320 + 0.5 * drop), (86, 80, 90 + 0.5 * abs(drop)), liver,
        rotation=_turn(y=20), clip=below_dome, texture=0.04, edge=7.0,
    )  # fmt: skip
    p.blob("left liver", (-10, 36, 342), (66, 42, 38), liver, clip=below_dome, texture=0.04, edge=7.0)
    p.blob(
        "spleen",
        (-94, -42, 322),
        (26, 38, 52),
        p.level("spleen", u.spleen),
        clip=below_dome,
        rotation=_turn(y=-14),
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
    tilt = _turn(y=-12 * s, x=8)
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
        rotation=_turn(y=28), texture=0.2, grain_mm=40, shell=9.0, core=0.6,
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


def head_and_neck(p: Painter) -> None:
    """Face, brain, glands and tonsils."""
    p.blob("face", (0, 32, 712), (46, 50, 40), 1.6 * p.drawn["muscle"], texture=0.25, edge=12.0)
    brain(p)
    u = p.uptake
    parotid, tonsil = p.level("salivary", u.salivary), p.level("tonsil", u.tonsil)
    for s in (1, -1):
        p.blob(f"parotid {s}", (54 * s, 0, 712), (11, 17, 24), parotid, jitter=2)
        p.blob(f"submandibular {s}", (27 * s, 30, 682), (10, 14, 11), 1.1 * parotid, jitter=2)
        p.blob(f"tonsil {s}", (15 * s, 22, 708), (6, 8, 11), tonsil, jitter=1.5)
    p.blob("floor of mouth", (0, 52, 696), (18, 18, 12), 0.6 * tonsil, jitter=3)
    p.blob("nasal mucosa", (0, 72, 745), (14, 24, 14), 2.0, texture=0.3)
    rng = p.stream("neck")
    if rng.random() < 0.5:
        p.blob("larynx", (0, 24, 648), (13, 9, 7), float(rng.uniform(1.8, 4.0)), jitter=2)
    if rng.random() < u.thyroid_fraction:
        value = p.level("thyroid", u.thyroid)
        for s in (1, -1):
            p.blob(f"thyroid {s}", (16 * s, 12, 622), (8, 9, 20), value, jitter=1.5)


def brain(p: Painter) -> None:
    """Cortex hotter than white matter, ventricles, basal ganglia and cerebellum."""
    grey = p.level("brain", p.uptake.brain)
    p.blob(
        "cerebrum",
        (0, -2, 798),
        (66, 84, 58),
        grey,
        shell=17.0,
        core=0.6 * grey,
        texture=0.05,
        grain_mm=13,
        jitter=2,
        warp=0.02,
    )
    p.blob("cerebellum", (0, -44, 748), (48, 30, 24), 0.85 * grey, texture=0.06, jitter=2, warp=0.03)
    for s in (1, -1):
        p.blob(f"basal ganglia {s}", (20 * s, 6, 790), (12, 22, 14), 0.95 * grey, jitter=1.5)
        p.blob(f"ventricle {s}", (8 * s, -6, 806), (5, 26, 9), 0.25 * grey, jitter=1.5)


def _turn(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Rotation:
    return Rotation.from_euler("xyz", (x, y, z), degrees=True)
