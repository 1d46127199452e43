"""Brain, face, glands and throat."""

from __future__ import annotations

import numpy as np

from wslpet.data.phantom.body.painter import Painter, turned
from wslpet.data.phantom.body.shapes import smooth_path
from wslpet.data.phantom.lifelike.frame import HEAD_Y


def head_and_neck(p: Painter) -> None:
    """Brain, then face and throat."""
    brain(p)
    _face(p)
    _throat(p)


def brain(p: Painter) -> None:
    """Cortex hotter than white matter, ventricles, basal ganglia, cerebellum and brain stem."""
    rng, grey, y = p.stream("brain shape"), p.level("brain", p.uptake.brain), HEAD_Y
    size, at = rng.normal(1, 0.025), rng.normal(0, (3, 4, 4))
    p.blob("cerebrum", np.add(at, (0, y, 797)), np.array([67, 82, 59]) * size, grey, shell=17.0, core=0.6 * grey,
           texture=0.08, grain_mm=13, jitter=0, warp=0.03)  # fmt: skip
    p.blob(
        "cerebellum",
        np.add(at, (0, y - 42, 748)),
        np.array([50, 31, 25]) * size,
        rng.uniform(0.6, 0.95) * grey,
        texture=0.08,
        jitter=2,
        warp=0.04,
    )
    for s in (1, -1):
        p.blob(
            f"temporal {s}",
            np.add(at, (44 * s, y + 16, 758)),
            np.array([22, 40, 24]) * size,
            0.9 * grey,
            texture=0.08,
            jitter=2,
        )
        p.blob(f"basal ganglia {s}", np.add(at, (20 * s, y + 8, 790)), (12, 22, 14), 1.0 * grey, jitter=1.5)
        p.blob(f"ventricle {s}", np.add(at, (8 * s, y - 4, 806)), (5, 26, 9), 0.25 * grey, jitter=1.5)
    stem = np.array([(0, y - 12, 770), (0, y - 20, 738), (0, y - 28, 715)], dtype=float) + np.array(at)
    p.cord("brain stem", stem, np.array([14.0, 11, 7]), 0.3 * grey, edge=6.0)
    p.cord("spinal cord", np.array([(0, y - 40, 690), (0, -52, 600), (0, -92, 450), (0, -78, 300)], dtype=float), 5.0,
           p.drawn["muscle"] * rng.uniform(1.5, 3.2), patchy=0.15)  # fmt: skip


def _face(p: Painter) -> None:
    rng, y, u, muscle = p.stream("face"), HEAD_Y, p.uptake, p.drawn["muscle"]
    p.blob("face", (0, y + 38, 706), (47, 46, 42), 1.5 * muscle, texture=0.25, grain_mm=14, edge=12.0)
    p.blob(
        "nasal mucosa", (0, y + 72, 738), (15, 24, 17), muscle * np.exp(rng.uniform(0.5, 1.6)), texture=0.3, warp=0.2
    )
    parotid = p.level("salivary", u.salivary, logarithmic=True)
    mandibular = parotid * np.exp(rng.normal(0.1, 0.3))
    jaw = rng.uniform(0.8, 1.6)
    for s in (1, -1):
        p.blob(f"parotid {s}", (61 * s, y + 6, 696), (9, 16, 22), parotid, jitter=3, texture=0.15, edge=6.0)
        p.blob(f"submandibular {s}", (30 * s, y + 24, 650), (9, 12, 10), mandibular, jitter=3, edge=6.0)
        p.blob(f"eye muscle {s}", (30 * s, y + 66, 758), (9, 12, 5), muscle * np.exp(rng.uniform(0.2, 1.6)), jitter=2)
        p.cord(
            f"mandible {s}",
            np.array([(52 * s, y + 10, 700), (40 * s, y + 40, 668), (10 * s, y + 62, 655)], dtype=float),
            6.0,
            jaw * muscle,
            edge=6.0,
        )
        if rng.random() < 0.12:
            p.blob(
                f"masseter {s}",
                (50 * s, y + 22, 690),
                (8, 16, 24),
                muscle * np.exp(rng.uniform(0.4, 1.6)),
                jitter=2,
                edge=6.0,
            )


def _throat(p: Painter) -> None:
    rng, y, u, muscle = p.stream("throat"), HEAD_Y, p.uptake, p.drawn["muscle"]
    tonsil = p.level("tonsil", u.tonsil, logarithmic=True)
    uneven = np.exp(rng.normal(0, 0.15))
    for s, share in ((1, uneven), (-1, 1 / uneven)):
        p.blob(f"tonsil {s}", (14 * s, y + 14, 684), (6, 8, 12), tonsil * share, jitter=2)
        p.blob(f"sublingual {s}", (9 * s, y + 46, 664), (7, 15, 7), tonsil * rng.uniform(0.3, 1.0), jitter=2)
    p.blob("nasopharynx", (0, y + 6, 712), (13, 8, 9), tonsil * rng.uniform(0.3, 0.9), jitter=2)
    p.blob(
        "tongue",
        (0, y + 38, 684),
        (21, 26, 15),
        muscle * np.exp(rng.uniform(0.2, 1.3)),
        texture=0.2,
        jitter=3,
        edge=7.0,
    )
    if rng.random() < 0.8:
        cords = muscle * np.exp(rng.uniform(0.2, 2.2))
        for s in (1, -1):
            line = np.array([(14 * s, 6, 634), (7 * s, 20, 640), (3 * s, 26, 640)], dtype=float)
            p.cord(f"vocal cord {s}", smooth_path(line, 6), 4.5, cords, edge=5.0)
    thyroid = p.level("thyroid", u.thyroid) if rng.random() < u.thyroid_fraction else muscle * rng.uniform(1.0, 2.2)
    for s in (1, -1):
        p.blob(f"thyroid {s}", (16 * s, 16, 610), (8, 9, 20), thyroid, jitter=2, rotation=turned(y=8 * s))
