"""Lung and oesophageal tumours and involved nodes: site, shape and uptake."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array, FloatArray
from wslpet.data.phantom.body.anatomy import Body, choose, stream
from wslpet.data.phantom.disease.growth import Growth, middle_of, simple_growth
from wslpet.data.phantom.settings import CohortSettings, Spread

NECROTIC_ABOVE_MM = 35.0
# Involved nodes hold at most this share of the volume of the primary; ours.
NODE_SHARE = 0.12


def draw_primary(body: Body, settings: CohortSettings, cancer_type: str) -> Growth:
    """Sample the primary tumour of one patient."""
    if cancer_type == "lung":
        return _lung(body, settings)
    return _oesophagus(body, settings)


def _spread(rng: np.random.Generator, spread: Spread) -> float:
    for _ in range(100):
        value = float(spread.median * np.exp(spread.log_sd * rng.normal()))
        if spread.low <= value <= spread.high:
            return value
    return spread.median


def _lung(body: Body, settings: CohortSettings) -> Growth:
    rng = stream(body.seed, "lung tumour")
    diameter = _spread(rng, settings.lung_diameter_mm)
    radii = 0.5 * diameter * np.exp(rng.normal(0, 0.14, size=3))
    site = str(choose(rng, settings.lung_sites))
    centre = _lung_site(body, rng, site, 0.5 * diameter / float(body.scale.mean())) * body.scale
    necrotic = diameter > NECROTIC_ABOVE_MM and rng.random() < settings.necrosis
    return Growth(
        kind="primary",
        site=site,
        centre=centre,
        reach=np.full(3, 1.55 * float(radii.max()) + 4.0),
        suv_max=_spread(rng, settings.tumour_suv_max),
        seed=(body.seed, "lung shape"),
        body=body,
        radii=radii,
        rotation=Rotation.random(random_state=int(rng.integers(2**31))),
        lobes=(float(rng.uniform(0.04, 0.16)), float(diameter * rng.uniform(0.7, 1.2))),
        spikes=float(rng.uniform(0, 0.09)),
        heterogeneity=float(rng.uniform(*settings.heterogeneity)),
        necrosis=float(rng.uniform(0.35, 0.6)) if necrotic else 0.0,
    )


def _lung_site(body: Body, rng: np.random.Generator, site: str, radius: float) -> Array:
    """Sample a centre (3,) in reference mm that suits the site and a tumour of this radius."""
    side = 1.0 if rng.random() < 0.56 else -1.0
    p = rng.uniform((8, -90, 310), (140, 95, 606), size=(4000, 3)) * (side, 1, 1)
    x, y, z = p.T
    depth = -body.lung_distance(x, y, z)
    wall = -body.cage_distance(x, y, z)
    middle = body.mediastinum_distance(x, y, z)
    if site == "hilum":
        near = np.linalg.norm((p - (44 * side, -14, 488)) / (14, 16, 20), axis=1)
        fits = (near < 1.3) & (depth > -8)
    elif site == "mediastinum":
        fits = (depth > 2) & (middle > 0.35 * radius) & (middle < 0.85 * radius) & (wall > 0.7 * radius)
    elif site == "chest wall":
        fits = (depth > 2) & (wall > 0.4 * radius) & (wall < 0.85 * radius) & (middle > 0.8 * radius)
    else:
        fits = depth > min(0.6 * radius + 2, 26)
    if not fits.any():
        fits = depth > 0.85 * depth.max()
    site_centre: FloatArray = p[rng.choice(np.flatnonzero(fits))]
    return site_centre


def _oesophagus(body: Body, settings: CohortSettings) -> Growth:
    rng = stream(body.seed, "oesophagus tumour")
    length = _spread(rng, settings.oesophagus_length_mm)
    width = min(_spread(rng, settings.oesophagus_width_mm), 0.8 * length)
    top, bottom = body.oesophagus[0, 2] * body.scale[2], body.oesophagus[-1, 2] * body.scale[2]
    low_end, high_end = bottom + 0.3 * length, top - 0.55 * length
    # Two thirds lie in the lower half, as adenocarcinomas do.
    u = rng.beta(1.0, 1.7)
    z = low_end + u * max(high_end - low_end, 0)
    radii = np.array([0.5 * width * rng.uniform(0.92, 1.12), 0.5 * width * rng.uniform(0.85, 1.05), 0.5 * length])
    off = rng.normal(0, 0.14 * width, size=2)
    cx, cy = (float(c) for c in body.curve(body.oesophagus, np.array(z / body.scale[2])))
    path = body.oesophagus * body.scale
    spanned = path[(path[:, 2] > z - 0.5 * length) & (path[:, 2] < z + 0.5 * length)]
    bend = np.ptp(spanned[:, :2], axis=0) if len(spanned) > 1 else np.zeros(2)
    middle = np.array([cx * body.scale[0] + off[0], cy * body.scale[1] + off[1], z])
    necrotic = width > NECROTIC_ABOVE_MM and rng.random() < settings.necrosis
    return Growth(
        kind="primary",
        site="cervical" if z / body.scale[2] > 585 else "oesophagus",
        centre=np.array([off[0], off[1], z]),
        reach=np.array([0.8 * width + bend[0] + 6, 0.8 * width + bend[1] + 6, 0.5 * length + 6, *middle]),
        suv_max=_spread(rng, settings.tumour_suv_max),
        seed=(body.seed, "oesophagus shape"),
        body=body,
        radii=radii,
        rotation=None,
        lobes=(float(rng.uniform(0.05, 0.18)), float(width * rng.uniform(0.9, 1.6))),
        spikes=float(rng.uniform(0, 0.05)),
        heterogeneity=float(rng.uniform(*settings.heterogeneity)),
        necrosis=float(rng.uniform(0.5, 0.7)) if necrotic else 0.0,
        along=(z - 0.5 * length, z + 0.5 * length),
    )


def draw_nodes(body: Body, settings: CohortSettings, primary: Growth, cancer_type: str) -> list[Growth]:
    """Sample involved nodes: hilar and mediastinal on the side of a lung tumour, otherwise beside the oesophagus."""
    rng = stream(body.seed, "nodes")
    if rng.random() >= settings.nodes:
        return []
    middle = middle_of(primary)
    side = np.sign(middle[0]) or 1.0
    if cancer_type == "lung":
        stations = [(34 * side, -14, 490), (16 * side, -4, 535), (4, -28, 478), (20 * side, -8, 560), (-18, 4, 512)]
    else:
        path = body.oesophagus[rng.integers(4, len(body.oesophagus), size=4)]
        aside = [(rng.choice((-1, 1)) * rng.uniform(13, 20), rng.uniform(-4, 10), 0) for _ in path]
        stations = [tuple(q) for q in path + np.array(aside)]
        stations.append((-12, 12, 318))
    largest = 0.35 * float(primary.radii[:2].mean()) + 2.0
    nodes: list[Growth] = []
    room = NODE_SHARE * float(np.prod(primary.radii)) * (1.0 if primary.along is None else 1.4)
    for n in rng.permutation(len(stations))[: int(rng.integers(1, 4))]:
        radius = float(np.clip(rng.normal(5.5, 2.0), 3.5, max(min(largest, 11.0), 3.6)))
        centre = (np.array(stations[n]) + rng.normal(0, 3, size=3)) * body.scale
        if np.linalg.norm((centre - middle) / (np.asarray(primary.reach[:3]) + radius + 4)) < 0.9:
            continue
        room -= radius**3
        if room < 0:
            break
        nodes.append(simple_growth(body, f"node {n}", centre, radius, primary.suv_max * rng.uniform(0.4, 0.9), "node"))
    return nodes
