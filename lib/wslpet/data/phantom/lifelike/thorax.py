"""Lungs, heart and great vessels, oesophagus."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Waves
from wslpet.data.phantom.body.tissue import spine
from wslpet.data.phantom.body.trunk import Myocardium, chest_cavity, paint_myocardium


def chest(p: Painter) -> None:
    """Mediastinum, lungs, hila, aorta, airway, oesophagus and heart."""
    body, canvas, u, rng = p.body, p.canvas, p.uptake, p.stream("chest")
    blood = p.level("blood", u.blood)
    box = canvas.reference_box((-150, -115, 275), (150, 110, 604), 0)
    if box is not None:
        x, y, z = box.reference.mesh
        chest_cavity(p, box, blood)
        lung = p.level("lung", u.lung)
        coarse, fine = (Waves.draw(p.stream(f"lung {mm}"), mm).on(box.reference) for mm in (50.0, 14.0))
        back = np.float32(rng.uniform(0.001, 0.006))
        value = np.float32(lung) * np.clip(
            1 + np.float32(0.12) * coarse + np.float32(0.12) * fine - back * y, 0.4, None
        )
        canvas.paint(box, canvas.fraction(body.lung_distance(x, y, z), 7.0), value)
        spine(p, p.drawn["marrow"])
    for s in (1, -1):
        for n, (dx, dz) in enumerate(((16, 10), (34, -6), (32, -32), (24, 26))):
            line = np.array([(20 * s, -10, 478), ((22 + dx) * s, -14, 478 + dz)], dtype=float)
            line[1] += rng.normal(0, 5, size=3)
            p.cord(f"hilar vessel {s} {n}", line, np.array([9.0, 4.0]), 0.8 * blood, edge=7.0)
    airway = np.array([(2, 10, 650), (2, -10, 590), (2, -20, 540), (0, -20, 505)], dtype=float)
    p.cord("trachea", airway, 8.0, 0.3, edge=5.0)
    p.cord("superior cava", np.array([(20, 12, 560), (22, 10, 500), (22, 14, 460)], dtype=float), 9.0, blood, edge=5.0)
    p.cord("aorta", body.aorta, np.linspace(16, 9, len(body.aorta)), blood, edge=5.0)
    wall = blood * rng.uniform(0.9, 1.35)
    radii = np.linspace(16.5, 9.5, len(body.aorta))
    p.cord("aortic wall", body.aorta, radii, wall, patchy=0.1, shell=4.0, core=blood, edge=5.0)
    oesophagus = p.level("oesophagus", (0.7 * blood, 1.5 * blood))
    p.cord("oesophagus", body.oesophagus, 6.5, oesophagus, patchy=0.2, edge=5.0)
    end = body.oesophagus[-9:]
    p.cord("junction", end, np.linspace(6, 10, len(end)), p.level("junction", u.junction), patchy=0.25, edge=6.0)
    heart(p, blood)


def heart(p: Painter, blood: float) -> None:
    """Blood pool, right heart, and left ventricular myocardium, whose uptake varies from none to intense."""
    rng, (centre, radii) = p.stream("heart"), p.body.heart
    tilt = Rotation.from_euler("xyz", (0, -34, -24), degrees=True)
    p.blob(
        "heart",
        centre,
        radii * (1.36, 0.99, 0.90),
        rng.uniform(0.8, 1.0) * blood,
        jitter=0,
        warp=0.05,
        rotation=tilt,
        edge=8.0,
    )
    p.blob("right atrium", np.add(centre, (44, 0, 4)), (20, 24, 30), blood, edge=8.0)
    silent = rng.random() < p.uptake.silent_myocardium
    muscle = rng.uniform(0.9, 1.5) * blood if silent else p.level("myocardium", p.uptake.myocardium, logarithmic=True)
    p.drawn["myocardium"] = round(float(muscle), 3)
    size = float(np.mean(radii)) / 54.0 * rng.normal(1, 0.06)
    ventricle = centre + np.array([-20, 4, -6]) + rng.normal(0, 4, size=3)
    out = np.array([-0.62, 0.55, -0.5]) + rng.normal(0, 0.12, size=3)
    _ventricle(
        p,
        ventricle,
        out,
        np.array([35.0, 35, 47]) * size,
        float(rng.uniform(10, 15)),
        float(muscle),
        rng,
    )
    if not silent and rng.random() < 0.5:
        right = float(muscle) * rng.uniform(0.15, 0.5)
        _ventricle(p, np.add(centre, (18, 16, -8)), out, np.array([28.0, 24, 42]) * size, 5.0, right, rng)
    if rng.random() < 0.2:
        p.blob(
            "atrial wall",
            np.add(centre, (36, -6, 22)),
            (16, 10, 14),
            blood * rng.uniform(1.2, 2.2),
            shell=5.0,
            core=blood,
            edge=5.0,
        )


def _ventricle(
    p: Painter,
    centre: Array,
    out: Array,
    radii: Array,
    wall_mm: float,
    value: float,
    rng: np.random.Generator,
) -> None:
    """A ventricle with a random orientation, base and variation of uptake along its wall."""
    axis = Rotation.align_vectors([out], [(0, 0, 1)])[0]
    lateral, patchy = Waves.draw(rng, 70.0), float(rng.choice((0.1, 0.25, 0.6), p=(0.5, 0.3, 0.2)))
    base, reach = float(rng.uniform(14, 34)), 1.25 * float(radii.max())
    wall = Myocardium(centre, radii, axis, float(radii.mean()), wall_mm, base, reach)
    paint_myocardium(p, wall, value, patchy, lateral)
