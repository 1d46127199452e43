"""Uptake of the urinary tract and of the organs of the pelvis."""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter, turned
from wslpet.data.phantom.body.shapes import smooth_path


def kidneys(p: Painter) -> None:
    """Kidneys with calyces, renal pelvis and ureters."""
    u, rng = p.uptake, p.stream("kidneys")
    cortex, urine = p.level("kidney", u.kidney), p.level("collecting system", u.collecting_system, logarithmic=True)
    calyces = float(rng.uniform(0.05, 0.6)) * urine
    size = float(np.exp(rng.normal(0, 0.09)))
    for side, s, z in (("right", 1, 277.0), ("left", -1, 290.0)):
        if rng.random() < 0.015:
            continue
        _kidney(p, side, s, z + rng.normal(0, 5), size, cortex, calyces, urine)


def _kidney(p: Painter, side: str, s: int, z: float, size: float, cortex: float, calyces: float, urine: float) -> None:
    rng = p.stream(f"{side} kidney")
    centre = np.array([70.0 * s, -40.0, z]) + rng.normal(0, (7, 8, 8))
    radii = np.array([27.0, 28, 56]) * size * rng.normal(1, 0.05, size=3)
    tilt = turned(y=-14 * s + rng.normal(0, 5), x=10, z=-25 * s)
    p.blob(
        f"{side} kidney", centre, radii, cortex, rotation=tilt, texture=0.25, grain_mm=14, jitter=0, warp=0.06, edge=6.0
    )
    if rng.random() < 0.6:
        p.blob(
            f"{side} sinus",
            np.add(centre, (-8 * s, 4, 0)),
            0.5 * radii,
            rng.uniform(0.4, 0.9) * cortex,
            rotation=tilt,
            jitter=2,
            edge=8.0,
        )
    for n in range(int(rng.integers(6, 13))):
        angle, depth = rng.uniform(-1.25, 1.25), rng.uniform(0.15, 0.55)
        away = np.array(
            [s * np.cos(angle) * radii[0] * depth, rng.uniform(-0.5, 0.5) * radii[1], np.sin(angle) * radii[2] * 0.62]
        )
        value = calyces * np.exp(rng.normal(0, 0.5)) + cortex
        p.blob(f"{side} calyx {n}", centre + tilt.apply(away), rng.uniform(3, 6.5, size=3), value, jitter=1, edge=4.0)
    hilum = centre + np.array([-20 * s, 8, -6])
    if rng.random() < 0.65:
        p.blob(f"{side} pelvis", hilum, (rng.uniform(4, 12), 8, rng.uniform(7, 18)), rng.uniform(0.2, 1.0) * urine,
               rotation=turned(y=-25 * s), warp=0.15, jitter=3, edge=4.0)  # fmt: skip
    below = np.array([(44 * s, -18, z - 75), (38 * s, -12, 150), (48 * s, -26, 90), (20 * s, -10, 48)])
    path = smooth_path(np.vstack([hilum, below + rng.normal(0, 5, size=(4, 3))]), 40)
    value = np.exp(rng.uniform(*np.log(p.uptake.ureter)))
    for n in range(int(rng.choice((0, 1, 2, 4), p=(0.4, 0.25, 0.2, 0.15)))):
        start = int(rng.integers(0, 37))
        segment = path[start : start + int(rng.integers(2, 16))]
        p.cord(f"{side} ureter {n}", segment, 2.6, float(value * rng.uniform(0.4, 1.2)), patchy=0.4, patch_mm=25)


def pelvis(p: Painter) -> None:
    """Bladder, prostate or uterus and ovaries, urethra, testes, anal canal."""
    rng, body, muscle = p.stream("pelvis"), p.body, p.drawn["muscle"]
    p.cord(
        "anal canal",
        np.array([(0, -58, 20), (0, -56, -25)], dtype=float),
        9.0,
        muscle * np.exp(rng.uniform(0.3, 1.7)),
        edge=6.0,
    )
    size = float(np.exp(rng.normal(0, 0.17)))
    radii = np.array([40.0, 37, 23 * size]) * size * rng.normal(1, 0.06, size=3)
    bladder = p.level("bladder", p.uptake.bladder, logarithmic=True)
    at = np.array([rng.normal(0, 6), -4, 28 + 0.85 * radii[2]])
    if body.sex == "male":
        p.blob("prostate", (0, -24, 10), (22, 18, 18), muscle * rng.uniform(1.2, 3.0), jitter=3)
    else:
        p.blob(
            "uterus",
            np.add(at, (rng.normal(0, 10), -26, 26)),
            (24, 19, 26),
            muscle * np.exp(rng.uniform(0.4, 1.7)),
            texture=0.15,
            jitter=5,
        )
        for s in (1, -1):
            hot = rng.uniform(2.5, 6.0) if rng.random() < 0.1 else 1.6 * muscle
            p.blob(f"ovary {s}", (40 * s, -20, 72), (11, 9, 13), hot, jitter=6)
    p.blob(
        "bladder",
        at,
        radii,
        bladder,
        texture=0.0,
        jitter=3,
        warp=float(rng.uniform(0.03, 0.12)),
        rotation=turned(x=-15),
    )
    _urine(p, rng, bladder)
    if body.sex == "male":
        _testes_and_penis(p, rng, muscle)


def _testes_and_penis(p: Painter, rng: np.random.Generator, muscle: float) -> None:
    value = float(rng.uniform(1.2, 4.0))
    for s in (1, -1):
        p.blob(f"testis {s}", (17 * s, 74, -42), (13, 15, 20), value, jitter=6, edge=6.0)
    shaft = np.array([(0, 60, 0), (4, 88, -25), (rng.normal(0, 14), 84, -80)], dtype=float)
    p.cord("penis", smooth_path(shaft, 10), 12.0, muscle * rng.uniform(1.2, 3.0), edge=8.0)


def _urine(p: Painter, rng: np.random.Generator, bladder: float) -> None:
    """Urine in the urethra, or on the skin."""
    if rng.random() < 0.25:
        male = p.body.sex == "male"
        line = np.array([(0, -10, 15), (0, 10, -14), (0, 60, -5 if male else -40)], dtype=float)
        p.cord(
            "urethra",
            smooth_path(line + rng.normal(0, 3, size=(3, 3)), 10),
            4.0,
            bladder * rng.uniform(0.05, 0.4),
            patchy=0.4,
        )
    if rng.random() < 0.08:
        at: Array = np.array([rng.normal(0, 18), 70, -60 + rng.normal(0, 15)])
        p.blob("drop of urine", at, rng.uniform(5, 16, size=3), bladder * rng.uniform(0.05, 0.5), warp=0.25)
