"""Tumour burden and dissemination of a patient, computed from all lesions of one scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wslpet.analysis.burden.body import NOTHING_KNOWN, Body
from wslpet.analysis.burden.lesions import LesionMeasures


@dataclass(frozen=True)
class Burden:
    """Tumour burden of one scan; distances are Euclidean, between the lesions' mean positions.

    Parameters
    ----------
    lesions : number of lesions.
    mtv_ml : metabolic tumour volume of all lesions (TMTV), the sum of their volumes.
    tlg : total lesion glycolysis, the sum over all lesions, in ml × SUVbw.
    suv_max : the highest of the lesions' SUVmax; None without a lesion.
    suv_peak : the highest of the lesions' SUVpeak; None without a lesion.
    dmax_mm : largest distance between two lesions; 0 for one lesion, None for none.
    dmax_bulk_mm : largest distance between the largest lesion (by volume) and another one.
    spread_mm : SPREAD_patient: over all lesions, the largest sum of the distances from one to all others.
    spread_bulk_mm : SPREAD_bulk: the sum of the distances from the largest lesion to all others.
    sdmax_per_m : SDmax, Dmax in m over the body surface area in m²; None where that is not known.
    dmax_per_sqrt_bsa : Dmax in m over the square root of the body surface area in m², dimensionless; None as for SDmax.
    sul_max, tlg_sul : as `suv_max` and `tlg` by lean body mass (Janmahasatian); None where that is not known.

    Notes
    -----
    Dmax and SPREAD: Cottereau et al., J Nucl Med 2020;61:40–45. SDmax: Cottereau et al., Ann Oncol 2021;32:404–411,
    whose cut-off has the unit m⁻¹. Body surface area is by Du Bois and Du Bois 1916.
    """

    lesions: int
    mtv_ml: float
    tlg: float
    suv_max: float | None = None
    suv_peak: float | None = None
    dmax_mm: float | None = None
    dmax_bulk_mm: float | None = None
    spread_mm: float | None = None
    spread_bulk_mm: float | None = None
    sdmax_per_m: float | None = None
    dmax_per_sqrt_bsa: float | None = None
    sul_max: float | None = None
    tlg_sul: float | None = None


def burden_of(lesions: Sequence[LesionMeasures], body: Body = NOTHING_KNOWN) -> Burden:
    """Compute the tumour burden of the lesions of one scan."""
    if not lesions:
        return Burden(0, 0.0, 0.0)
    positions = np.array([lesion.position for lesion in lesions])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)  # (lesion, lesion) mm
    bulk = int(np.argmax([lesion.volume_ml for lesion in lesions]))
    dmax, tlg = float(distances.max()), sum(lesion.tlg for lesion in lesions)
    suv_max, surface, lean = max(lesion.suv_max for lesion in lesions), body.surface_m2, body.sul_factor
    return Burden(
        lesions=len(lesions),
        mtv_ml=sum(lesion.volume_ml for lesion in lesions),
        tlg=tlg,
        suv_max=suv_max,
        suv_peak=max(lesion.suv_peak for lesion in lesions),
        dmax_mm=dmax,
        dmax_bulk_mm=float(distances[bulk].max()),
        spread_mm=float(distances.sum(axis=1).max()),
        spread_bulk_mm=float(distances[bulk].sum()),
        sdmax_per_m=None if surface is None else dmax / 1000 / surface,
        dmax_per_sqrt_bsa=None if surface is None else dmax / 1000 / math.sqrt(surface),
        sul_max=None if lean is None else lean * suv_max,
        tlg_sul=None if lean is None else lean * tlg,
    )
