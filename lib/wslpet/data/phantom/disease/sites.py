"""Sites of metastases and lymphoma: node stations, organs, bones, soft tissue; positions in reference mm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.lifelike.frame import LifelikeBody

Sampler = Callable[[LifelikeBody, np.random.Generator], FloatArray]
# Node stations: centre (on the right) and SD of the nodes, mm. Stations with |x| > 8 exist on both sides.
STATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "cervical": ((38, 16, 652), (7, 9, 24)),
    "supraclavicular": ((50, 12, 588), (16, 9, 9)),
    "axillary": ((134, -8, 536), (12, 12, 22)),
    "upper mediastinal": ((14, 0, 538), (11, 14, 18)),
    "lower mediastinal": ((8, -16, 474), (12, 12, 20)),
    "hilar": ((42, -12, 478), (9, 8, 14)),
    "retrocrural": ((6, -44, 372), (10, 6, 22)),
    "coeliac": ((6, 4, 305), (22, 12, 14)),
    "mesenteric": ((4, 34, 226), (40, 14, 32)),
    "para-aortic": ((14, -22, 232), (10, 8, 44)),
    "iliac": ((54, -8, 106), (12, 14, 30)),
    "inguinal": ((74, 34, 10), (13, 8, 20)),
    "popliteal": ((80, -30, -410), (10, 6, 14)),
}


def node_cluster(station: str, count: int, rng: np.random.Generator) -> FloatArray:
    """Sample positions (count, 3) of nodes of one station, most of them on one side."""
    centre, sd = STATIONS[station]
    side = rng.choice((1.0, -1.0))
    sides = np.where(rng.random(count) < 0.85, side, -side) if abs(centre[0]) > 8 else np.ones(count)
    places: FloatArray = np.array(centre) * np.stack([sides, np.ones(count), np.ones(count)], axis=1)
    place: FloatArray = places + rng.normal(size=(count, 3)) * np.array(sd)
    return place


def lung(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in a lung."""
    return _inside(rng, (-125, -90, 370), (125, 90, 585), body.lung_distance, -3.0)


def pleura(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place at the chest wall."""
    angle, z = rng.uniform(-np.pi, np.pi), np.array(rng.uniform(370, 560))
    a, b, yc = (np.interp(z, body.cage[:, 0], body.cage[:, c]) for c in (1, 2, 3))
    place: FloatArray = np.array([a * np.cos(angle), yc + b * np.sin(angle), z])
    return place


def liver(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in the liver."""
    return _inside(rng, (-80, -90, 240), (130, 100, 430), body.liver_distance, -6.0)


def spleen(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in the spleen."""
    place: FloatArray = np.array([-97, -40, 345]) + rng.normal(0, (9, 16, 16))
    return place


def adrenal(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """An adrenal."""
    place: FloatArray = np.array([34 * rng.choice((1, -1)), -40, 322]) + rng.normal(0, 4, size=3)
    return place


def bone(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in the marrow: spine, pelvis, ribs, shoulder girdle, long bones, sternum, skull."""
    part = rng.choice(("spine", "pelvis", "rib", "femur", "humerus", "sternum", "scapula", "skull"),
                      p=(0.34, 0.24, 0.15, 0.09, 0.06, 0.04, 0.05, 0.03))  # fmt: skip
    s, jitter = rng.choice((1.0, -1.0)), rng.normal(0, 3, size=3)
    if part == "spine":
        z = rng.uniform(100, 640)
        x, y = (float(c) for c in body.curve(body.spine, np.array(z)))
        vertebra: FloatArray = np.array([x + rng.normal(0, 8), y - rng.choice((0.0, 22.0), p=(0.75, 0.25)), z])
        return vertebra
    if part == "rib":
        return pleura(body, rng) * (1.04, 1.04, 1)
    places = {
        "pelvis": ((70 * s, -40, 122), (80 * s, -18, 52), (52 * s, -40, 0), (20 * s, -62, 88), (40 * s, 28, 24)),
        "femur": (tuple(body.limbs["right leg"][0][0] * (s, 1, 1) + (0, 0, rng.uniform(-220, 10))),),
        "humerus": (tuple(body.limbs["right arm" if s > 0 else "left arm"][0][int(rng.integers(0, 2))]),),
        "sternum": ((0, 88, rng.uniform(430, 560)),),
        "scapula": ((112 * s, -70, 540), (84 * s, 36, 588)),
        "skull": ((70 * s, 30, 800), (40 * s, -40, 760), (45 * s, 70, 720)),
    }[str(part)]
    spread = np.array((9, 12, 18) if part == "pelvis" else (5, 5, 8))
    place: FloatArray = np.array(places[int(rng.integers(len(places)))]) + jitter + rng.normal(size=3) * spread
    return place


def soft(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in skin, fat or muscle of trunk, head or limbs."""
    if rng.random() < 0.45:
        name = str(rng.choice(("right arm", "left arm", "right leg", "left leg"), p=(0.15, 0.15, 0.35, 0.35)))
        line, radii = body.limbs[name]
        n = int(rng.integers(0, len(line) - 1))
        t, angle = rng.random(), rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0.2, 1.0) * radii[n] * np.array([np.cos(angle), np.sin(angle), 0])
        on_limb: FloatArray = line[n] + t * (line[n + 1] - line[n]) + away
        return on_limb
    z, angle, share = rng.uniform(-40, 840), rng.uniform(-np.pi, np.pi), rng.uniform(0.75, 1.0)
    a, b, yc = (float(np.interp(z, body.outline[:, 0], body.outline[:, c])) for c in (1, 2, 3))
    fat = body.fat_mm * float(np.interp(z, (596, 680), (1.0, 0.12)))
    under_skin: FloatArray = np.array([share * (a + fat) * np.cos(angle), yc + share * (b + fat) * np.sin(angle), z])
    return under_skin


def belly(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place on the peritoneum or in bowel."""
    place: FloatArray = rng.uniform((-95, -20, 60), (95, 70, 300))
    return place


def brain(body: LifelikeBody, rng: np.random.Generator) -> FloatArray:
    """A place in the brain."""
    place: FloatArray = np.array([0, 30, 797]) + rng.normal(0, (28, 34, 24))
    return place


def _inside(
    rng: np.random.Generator,
    low: tuple[float, ...],
    high: tuple[float, ...],
    distance: Callable[..., Array],
    below: float,
) -> Array:
    places = rng.uniform(low, high, size=(400, 3))
    depth = distance(*places.T)
    fits = np.flatnonzero(depth < below)
    chosen: FloatArray = places[fits[0] if len(fits) else int(np.argmin(depth))]
    return chosen


PLACES: dict[str, Sampler] = {
    "lung": lung, "pleura": pleura, "liver": liver, "spleen": spleen, "adrenal": adrenal, "bone": bone, "soft": soft,
    "belly": belly, "brain": brain,
}  # fmt: skip
