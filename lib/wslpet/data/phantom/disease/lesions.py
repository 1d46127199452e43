"""Lesions of lifelike patients: number, sites by cancer type, sizes and uptake."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.anatomy import choose, stream
from wslpet.data.phantom.disease.growth import LUNG_SITES, Growth, simple_growth
from wslpet.data.phantom.disease.sites import PLACES, STATIONS, node_cluster
from wslpet.data.phantom.disease.tumours import draw_primary
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.settings import CohortSettings, Disease, Weighted

# Weights of the regions, derived from 1,164 lesions of 226 patients (docs/reference/phantoms.md); ours.
_CHEST: Weighted = (
    ("upper mediastinal", 0.2), ("hilar", 0.17), ("lower mediastinal", 0.1), ("lung", 0.2), ("pleura", 0.07),
    ("supraclavicular", 0.08), ("cervical", 0.03), ("bone", 0.19), ("liver", 0.06), ("adrenal", 0.04), ("soft", 0.03),
    ("brain", 0.01), ("para-aortic", 0.02),
)  # fmt: skip
REGIONS: dict[str, Weighted] = {
    "lung": _CHEST,
    "oesophagus": (
        *((name, weight) for name, weight in _CHEST if name not in ("lung", "hilar")),
        ("coeliac", 0.3), ("liver", 0.15), ("lung", 0.08),
    ),
    "lymphoma": (
        ("cervical", 0.13), ("supraclavicular", 0.1), ("axillary", 0.1), ("upper mediastinal", 0.12),
        ("lower mediastinal", 0.06), ("hilar", 0.04), ("retrocrural", 0.04), ("coeliac", 0.05), ("mesenteric", 0.07),
        ("para-aortic", 0.1), ("iliac", 0.09), ("inguinal", 0.08), ("spleen", 0.04), ("bone", 0.06), ("lung", 0.03),
        ("liver", 0.02), ("soft", 0.03), ("belly", 0.03),
    ),
    "melanoma": (
        ("soft", 0.27), ("lung", 0.13), ("liver", 0.13), ("bone", 0.16), ("axillary", 0.06), ("inguinal", 0.06),
        ("iliac", 0.04), ("cervical", 0.03), ("upper mediastinal", 0.03), ("hilar", 0.02), ("mesenteric", 0.02),
        ("spleen", 0.02), ("belly", 0.06), ("adrenal", 0.02), ("brain", 0.02), ("popliteal", 0.01),
    ),
}  # fmt: skip


def draw_lesions(body: LifelikeBody, settings: CohortSettings, disease: Disease, cancer_type: str) -> list[Growth]:
    """Sample the lesions of one patient, the largest last."""
    rng = stream(body.seed, "lesions")
    low, high = disease.count
    wanted = int(np.exp(rng.uniform(np.log(low), np.log(high + 0.99))))
    typical = float(np.exp(rng.normal(np.log(disease.suv_max.median), disease.suv_max.log_sd)))
    growths: list[Growth] = []
    if cancer_type in ("lung", "oesophagus") and rng.random() < 0.9:
        growths.append(draw_primary(body, settings, cancer_type))
    while len(growths) < wanted:
        region = str(choose(rng, REGIONS[cancer_type]))
        number = min(int(rng.geometric(disease.spread)), wanted - len(growths))
        places = _places(body, region, number, rng)
        for place in places:
            growths.append(_focus(body, disease, f"lesion {len(growths)}", region, place, typical, rng))
    growths = [_limited(growth, disease) for growth in growths]
    growths.sort(key=lambda growth: float(np.prod(growth.radii)))
    return [replace(g, kind="primary" if g is growths[-1] else "lesion") for g in growths]


def _places(body: LifelikeBody, region: str, number: int, rng: np.random.Generator) -> Array:
    if region in STATIONS:
        return node_cluster(region, number, rng)
    return np.array([PLACES[region](body, rng) for _ in range(number)])


def _focus(
    body: LifelikeBody, disease: Disease, name: str, region: str, place: Array, typical: float, rng: np.random.Generator
) -> Growth:
    size = disease.radius_mm
    radius = float(np.clip(np.exp(rng.normal(np.log(size.median), size.log_sd)), size.low, size.high))
    hot = typical * np.exp(rng.normal(0, 0.4)) * min((radius / 7.0) ** 0.35, 1.3)
    growth = simple_growth(
        body, name, body.lean(place) * body.scale, radius, float(hot), "lesion", float(rng.uniform(0.05, 0.3))
    )
    stretch = np.exp(rng.normal(0, 0.28, size=3))
    radii = radius * stretch / np.prod(stretch) ** (1 / 3)
    return replace(
        growth,
        site="parenchyma" if region == "lung" else region,
        radii=radii,
        rotation=Rotation.random(random_state=int(rng.integers(2**31))),
        reach=np.full(3, 1.6 * float(radii.max()) + 4.0),
        lobes=(float(rng.uniform(0.05, 0.3)), float(radius * rng.uniform(0.9, 2.2))),
        necrosis=float(rng.uniform(0.35, 0.6)) if radius > 18 and rng.random() < 0.3 else 0.0,
    )


def _limited(growth: Growth, disease: Disease) -> Growth:
    """Limit the SUVmax, and keep the barriers of the lung for growths at `LUNG_SITES` only."""
    suv_max = float(np.clip(growth.suv_max, disease.suv_max.low, disease.suv_max.high))
    invades = growth.site in LUNG_SITES
    return (
        replace(growth, suv_max=suv_max, site=growth.site if invades else "focus")
        if growth.along is None
        else replace(growth, suv_max=suv_max)
    )
