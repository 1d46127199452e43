"""One phantom patient: anatomy, tumour, scanner, click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.volume import Volume
from wslpet.data.phantom.body.anatomy import Body, choose, stream
from wslpet.data.phantom.body.canvas import Box
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.disease.growth import Growth
from wslpet.data.phantom.disease.growth_painting import paint_growth
from wslpet.data.phantom.disease.lesions import draw_lesions
from wslpet.data.phantom.disease.mimics import Mimicry, draw_mimics, paint_mimic
from wslpet.data.phantom.disease.tumours import draw_nodes, draw_primary
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.scan.plan import ScanPlan, painted_organs, plan_scan, scanned
from wslpet.data.phantom.scan.scanner import blur
from wslpet.data.phantom.settings import PRESETS, CohortSettings, PhantomError

# SD per axis of a simulated click about the lesion's centre.
CLICK_SD_MM = 4.0
# Readers draw the contour where the uptake has fallen to this share of the contrast to the surroundings: the median of
# 36 real lesions, see docs/method.md.
READERS_SHARE = 0.3


@dataclass(frozen=True)
class Lesion:
    """A true lesion.

    Parameters
    ----------
    kind : "primary", "node" or "lesion".
    centre : centroid of the true mask, mm RAS.
    volume_ml : volume of the true mask.
    suv_max : SUVmax in the finished scan, with blur and noise.
    """

    kind: str
    centre: tuple[float, float, float]
    volume_ml: float
    suv_max: float


@dataclass(frozen=True, eq=False)
class Patient:
    """A phantom patient.

    Parameters
    ----------
    name : name of the patient, which does not reveal the cancer type.
    volume : SUV, float32 (x, y, z); the axes run right, anterior, superior.
    truth : uint8 (x, y, z), 1 where a reader would draw, with necrosis and involved nodes: where the tumour, painted
        with uniform uptake and blurred by the scanner, has at least `READERS_SHARE` of its maximum.
    extent : uint8 (x, y, z), the tumour without blur: 1 where at least half of the voxel is tumour.
    cancer_type : "lung", "oesophagus" or `NO_TUMOUR`; of lifelike patients also another type.
    seed : the simulated click.
    lesions : the lesions, the primary first.
    description : the sampled parameters, JSON-ready.
    """

    name: str
    volume: Volume
    truth: Volume
    extent: Volume
    cancer_type: str
    seed: Seed
    lesions: tuple[Lesion, ...]
    description: dict[str, Any]


def make_patient(
    seed: int,
    settings: CohortSettings = PRESETS["plain"],
    voxel_mm: tuple[float, float, float] | None = None,
    jitter_mm: float = CLICK_SD_MM,
) -> Patient:
    """Simulate one patient.

    Parameters
    ----------
    seed : random seed, 0 or more. The seeds 2n and 2n + 1 give one patient of each type, in random order.
    settings : the cohort that the patient is sampled from.
    voxel_mm : (x, y, z) voxel size, instead of the scanner's. Anatomy and tumour stay the same.
    jitter_mm : SD per axis of the click about the lesion's centre.

    Raises
    ------
    PhantomError
        if the seed is negative.
    """
    if int(seed) < 0:
        raise PhantomError(f"phantom seed {seed} is negative; give an integer from 0 up")
    seed = int(seed)
    cancer_type = _cancer_type(seed, settings)
    plan = plan_scan(seed, settings, voxel_mm)
    painter = painted_organs(plan, settings)
    growths = [] if cancer_type == NO_TUMOUR else _growths(plan.body, settings, cancer_type)
    primary = growths[-1] if growths else None
    mimicry = Mimicry(painter, primary, plan.fwhm_mm)
    mimics = [name for name in draw_mimics(plan.body, settings) if paint_mimic(mimicry, name)]
    painted = [(g, paint_growth(plan.canvas, g, plan.fwhm_mm, settings.contrast)) for g in growths]

    activity = scanned(plan, settings)
    scan = np.zeros(plan.shape, dtype=np.float32)
    scan[plan.inner] = activity
    truth, extent, lesions, click = _read(plan, painted, activity)
    name = f"patient-{seed:04d}"
    volume = Volume(scan, plan.affine, "SUV", name)
    if click is None:
        cancer_type = NO_TUMOUR
        click = volume.to_world((np.array(plan.shape) - 1) / 2)
    position = click + stream(seed, "click").normal(0, 1, size=3) * jitter_mm
    return Patient(
        name,
        volume,
        Volume(truth, plan.affine, "label", name),
        Volume(extent, plan.affine, "label", name),
        cancer_type,
        Seed(cancer_type, tuple(position), None, "phantom", "2020-01-01T00:00:00.000+00:00"),
        lesions,
        _description(plan, settings, primary, mimics, painter),
    )


def _read(
    plan: ScanPlan, painted: list[tuple[Growth, tuple[Box, Array] | None]], activity: Array
) -> tuple[Array, Array, tuple[Lesion, ...], Array | None]:
    """Return `truth`, `extent` and `lesions` of a `Patient`, and the centre of the primary (mm RAS) or None."""
    truth, extent = np.zeros(plan.shape, dtype=np.uint8), np.zeros(plan.shape, dtype=np.uint8)
    lesions: list[Lesion] = []
    click: Array | None = None
    for growth, result in painted:
        if result is None:
            continue
        box, inside = result
        extent[plan.inner][box.window][_at_least(inside, 0.5)] = 1
        blurred = blur(inside, plan.fwhm_mm, plan.spacing)
        mask = _at_least(blurred, READERS_SHARE * float(blurred.max()))
        lesion, click = _mark(truth[plan.inner], activity, growth, box, mask, plan.affine, plan.start)
        lesions.insert(0, lesion)
    return truth, extent, tuple(lesions), click


def _description(
    plan: ScanPlan, settings: CohortSettings, primary: Growth | None, mimics: list[str], painter: Painter
) -> dict[str, Any]:
    """Return the sampled parameters as JSON-ready values."""
    body = plan.body
    return {
        "seed": plan.seed,
        "cohort": settings.name,
        "height_m": round(body.height_m, 2),
        "bmi": round(body.bmi, 1),
        "sex": body.sex,
        "arms": body.arms,
        "fov": plan.field,
        "scanner": plan.scanner.name,
        "voxel_mm": [float(s) for s in plan.spacing],
        "fwhm_mm": round(plan.fwhm_mm, 2),
        "liver_cov": round(plan.liver_cov, 3),
        "mimics": mimics,
        "site": None if primary is None else primary.site,
        "heterogeneity": None if primary is None else primary.heterogeneity,
        "uptake": painter.drawn,
    }


def _growths(body: Body, settings: CohortSettings, cancer_type: str) -> list[Growth]:
    """Sample the lesions of a patient, the primary last."""
    if settings.disease is not None and isinstance(body, LifelikeBody):
        return draw_lesions(body, settings, settings.disease, cancer_type)
    primary = draw_primary(body, settings, cancer_type)
    return [*draw_nodes(body, settings, primary, cancer_type), primary]


def _cancer_type(seed: int, settings: CohortSettings) -> str:
    swap = int(stream(seed // 2, "type").integers(2))
    if stream(seed, "no tumour").random() < settings.no_tumour_fraction:
        return NO_TUMOUR
    if settings.disease is not None:
        return str(choose(stream(seed, "disease"), settings.disease.types))
    return ("lung", "oesophagus")[(seed + swap) % 2]


def _at_least(share: Array, least: float) -> Array:
    return share >= min(least, float(share.max()))


def _mark(
    truth: Array,
    activity: Array,
    growth: Growth,
    box: Box,
    mask: Array,
    affine: FloatArray,
    start: Array,
) -> tuple[Lesion, Array]:
    """Add a growth to the true mask. Returns its lesion, and the position (mm) of the voxel nearest to its centroid."""
    truth[box.window][mask] = 1
    index = np.argwhere(mask) + [w.start for w in box.window] + start
    world = index @ affine[:3, :3].T + affine[:3, 3]
    centre = world.mean(axis=0)
    nearest = world[int(np.argmin(np.linalg.norm(world - centre, axis=1)))]
    voxel_ml = float(np.prod(np.diag(affine)[:3])) / 1000
    lesion = Lesion(
        growth.kind,
        tuple(round(float(c), 3) for c in centre),  # type: ignore[arg-type]
        round(float(mask.sum()) * voxel_ml, 4),
        round(float(activity[box.window][mask].max()), 4),
    )
    return lesion, nearest
