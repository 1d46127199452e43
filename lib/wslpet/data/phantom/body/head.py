"""Uptake of brain, head and neck."""

from __future__ import annotations

from wslpet.data.phantom.body.painter import Painter


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
