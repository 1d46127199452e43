"""Uptake of marrow, ribs and joints."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import smooth_path
from wslpet.data.phantom.body.tissue import hip_bone, sacrum, spine
from wslpet.data.phantom.lifelike.frame import HEAD_Y


def skeleton(p: Painter) -> None:
    """Spine, ribs, sternum, shoulder and pelvic girdle, long bones, skull, and joints."""
    marrow, rng = p.level("marrow", p.uptake.marrow, logarithmic=True), p.stream("skeleton")
    muscle = p.drawn["muscle"]
    spine(p, marrow)
    _ribs(p, marrow * rng.uniform(0.55, 0.9))
    for side, s in (("right", 1), ("left", -1)):
        hip_bone(p, side, s, marrow, ((70 * s, -40, 122), (11, 36, 48)), ((80 * s, -18, 52), (15, 24, 26)))
        p.blob(f"{side} ischium", (52 * s, -40, 0), (12, 16, 30), 0.55 * marrow)
        p.cord(
            f"{side} pubis",
            np.array([(64 * s, 10, 30), (30 * s, 32, 22), (6 * s, 38, 4)], dtype=float),
            7.0,
            0.55 * marrow,
        )
        leg, arm = p.body.limbs[f"{side} leg"][0], p.body.limbs[f"{side} arm"][0]
        femur = np.stack([leg[0], leg[1], 0.5 * leg[1] + 0.5 * leg[2]])
        p.cord(f"{side} femur", femur, np.array([14.0, 11, 8]), 0.6 * marrow, edge=14.0)
        p.cord(f"{side} femoral shaft", leg[1:4], 9.0, 0.45 * muscle, edge=6.0)
        p.cord(f"{side} tibia", np.add(leg[3:7], (0, 8, 0)), 9.0, 0.5 * muscle, edge=6.0)
        humerus = np.stack([arm[0], 0.7 * arm[0] + 0.3 * arm[1]])
        p.cord(f"{side} humerus", humerus, np.array([15.0, 8]), 0.6 * marrow, edge=12.0)
        shoulder = np.array([(26 * s, 66, 568), (84 * s, 36, 588), (140 * s, 0, 584)], dtype=float)
        p.cord(f"{side} clavicle", smooth_path(shoulder, 10), 4.5, 0.55 * marrow, edge=8.0)
        scapula = np.array([(138 * s, -30, 575), (112 * s, -70, 540), (92 * s, -84, 480)], dtype=float)
        p.cord(f"{side} scapula", smooth_path(scapula, 10), 6.0, 0.6 * marrow, edge=8.0)
        for name, at, radius in (
            ("hip", (88 * s, -14, 45), 27.0),
            ("shoulder", tuple(arm[0]), 25.0),
            ("knee", tuple(leg[3]), 33.0),
        ):
            _joint(p, f"{side} {name}", np.array(at), radius)
    sacrum(p, marrow)
    p.cord("sternum", np.array([(0, 92, 420), (0, 88, 500), (0, 72, 560)], dtype=float), 8.0, 0.8 * marrow)
    p.blob("skull base", (0, HEAD_Y - 12, 722), (46, 40, 9), 0.9 * marrow, texture=0.2, warp=0.15)


def _ribs(p: Painter, value: float) -> None:
    """Ten pairs of ribs, which descend from the spine to the side and to the front."""
    body = p.body
    angles = np.linspace(-0.93 * np.pi / 2, 0.7 * np.pi / 2, 14)
    for n in range(10):
        top = 574.0 - 25.5 * n
        z = np.clip(top - (22 + 4.5 * n) * (np.sin(angles) + 1) / 2 * 1.6, 285, 586)
        a, b, yc = (np.interp(z, body.cage[:, 0], body.cage[:, c]) for c in (1, 2, 3))
        for s in (1, -1):
            x, y = s * (a + 4) * np.cos(angles), yc + (b + 4) * np.sin(angles)
            p.cord(f"rib {n} {s}", np.stack([x, y, z], axis=1), 4.5, value, patchy=0.12, patch_mm=60, edge=6.0)


def _joint(p: Painter, name: str, at: Array, radius: float) -> None:
    """The capsule of a joint: a thin shell, bright where it is inflamed."""
    rng = p.stream(name + " joint")
    muscle = p.drawn["muscle"]
    value = muscle * np.exp(rng.normal(0.1, 0.35))
    p.blob(name + " joint", at, (radius, radius, radius * rng.uniform(0.9, 1.2)), value,
           texture=0.7, grain_mm=30, warp=0.12, jitter=5, shell=7.0, core=0.8 * muscle, edge=6.0)  # fmt: skip
