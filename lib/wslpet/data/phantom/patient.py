"""One phantom patient: anatomy, tumour, scanner, click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.core.volume import Volume
from wslpet.data.phantom.body.anatomy import VERTEX_Z, Body, choose, stream
from wslpet.data.phantom.body.canvas import Box, Canvas
from wslpet.data.phantom.body.organs import PlainPainter
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Axes
from wslpet.data.phantom.disease.lesions import draw_lesions
from wslpet.data.phantom.disease.mimics import Mimicry, draw_mimics, paint_mimic
from wslpet.data.phantom.disease.tumours import Growth, draw_nodes, draw_primary, paint_growth
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.lifelike.painter import LifelikePainter
from wslpet.data.phantom.scanner import blur, edge_noise, noise
from wslpet.data.phantom.settings import PRESETS, CohortSettings, PhantomError, Scanner

CLICK_SD_MM = 4.0
# A reader's contour lies where an edge has fallen to this share of its local contrast: the median of 36 real lesions,
# see docs/method.md.
READERS_SHARE = 0.3
# Lower and upper end (reference mm above the symphysis) of the axial fields of view.
FIELDS = {
    "skull-thigh": (-230.0, 765.0),
    "vertex-thigh": (-230.0, VERTEX_Z + 8),
    "head-abdomen": (160.0, VERTEX_Z + 8),
    "thorax": (285.0, 672.0),
    "brain-thigh": (-200.0, 812.0),
    "whole body": (-930.0, 940.0),
}
# SD (mm) of the upper end of fields that end somewhere in the head.
UPPER_END_SD = {"brain-thigh": 30.0}


@dataclass(frozen=True)
class Lesion:
    """A true tumour. centre: mm RAS; volume_ml: of the true mask; suv_max: in the finished scan."""

    kind: str
    centre: tuple[float, float, float]
    volume_ml: float
    suv_max: float


@dataclass(frozen=True, eq=False)
class Patient:
    """A phantom patient.

    Parameters
    ----------
    name : does not reveal the type.
    volume : SUV, float32 (x, y, z), axes running right, anterior, superior.
    truth : uint8 of the same geometry, 1 where a reader would draw (necrosis and involved nodes too): where the tumour,
        of even uptake and as the scanner blurs it, is at least `READERS_SHARE` of its maximum.
    extent : uint8 of the same geometry, the tumour before the blur: 1 where at least half of the voxel is tumour.
    cancer_type : "lung", "oesophagus" or `NO_TUMOUR`.
    seed : the jittered click.
    lesions : the primary first.
    description : the sampled parameters.
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
    seed : any non-negative integer; types alternate in pairs of seeds (2n, 2n + 1) in random order.
    voxel_mm : (x, y, z) in place of the scanner's; anatomy, tumour and click centre do not change.
    jitter_mm : SD of the click per axis.
    """
    if int(seed) < 0:
        raise PhantomError(f"phantom seed {seed} is negative; give an integer from 0 up")
    seed = int(seed)
    cancer_type = _cancer_type(seed, settings)
    plan = plan_scan(seed, settings, voxel_mm)
    painter = new_painter(plan, settings)
    painter.paint_all()
    growths = [] if cancer_type == NO_TUMOUR else _growths(plan.body, settings, cancer_type)
    primary = growths[-1] if growths else None
    mimicry = Mimicry(painter, primary, plan.fwhm_mm)
    mimics = [name for name in draw_mimics(plan.body, settings) if paint_mimic(mimicry, name)]
    painted = [(g, paint_growth(plan.canvas, g, plan.fwhm_mm, settings.contrast)) for g in growths]

    activity = _scanned(plan, settings)
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
    """`truth`, `extent` and `lesions` as of `Patient`, and the centre of the primary, mm RAS, None without one."""
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
    """The sampled parameters, JSON-ready."""
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


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """What is scanned, and how.

    Parameters
    ----------
    field : name of the axial field of view.
    spacing, offset : (3,) of the voxels; of the body's origin in mm RAS.
    fwhm_mm, liver_cov, grain_mm : point spread, relative noise in the liver, and its correlation.
    canvas : the grid around the body.
    shape, corner, start : of the whole scan: voxels, first voxel (body mm), where the canvas starts (voxels).
    """

    seed: int
    body: Body
    scanner: Scanner
    field: str
    spacing: FloatArray
    offset: FloatArray
    fwhm_mm: float
    liver_cov: float
    grain_mm: float
    canvas: Canvas
    shape: tuple[int, int, int]
    corner: Array
    start: Array

    @property
    def affine(self) -> Array:
        """(4, 4) voxel → mm RAS of the whole scan."""
        affine: Array = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = self.corner + self.offset
        return affine

    @property
    def inner(self) -> tuple[slice, ...]:
        """Where the canvas lies in the whole scan."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.canvas.activity.shape, strict=True))


def plan_scan(seed: int, settings: CohortSettings, voxel_mm: tuple[float, float, float] | None = None) -> ScanPlan:
    """Draw a body and how it is scanned; arguments as of `make_patient`."""
    body = Body.draw(seed, settings) if settings.disease is None else LifelikeBody.draw(seed, settings)
    rng = stream(seed, "scan")
    scanner = choose(rng, settings.scanners)
    assert isinstance(scanner, Scanner)
    spacing = np.array(scanner.voxel_mm if voxel_mm is None else voxel_mm, dtype=float)
    field = str(choose(rng, settings.fields))
    fwhm, cov = float(rng.uniform(*scanner.fwhm_mm)), float(rng.uniform(*scanner.liver_cov))
    grain = fwhm * float(rng.uniform(0.5, 0.9))
    offset = np.array([rng.normal(0, 8), rng.normal(0, 12), rng.uniform(-900, 200)])
    canvas, shape, corner, start = _grid(body, scanner, spacing, field, offset, rng)
    return ScanPlan(seed, body, scanner, field, spacing, offset, fwhm, cov, grain, canvas, shape, corner, start)


def new_painter(plan: ScanPlan, settings: CohortSettings) -> Painter:
    """A painter of the kind of body that is scanned."""
    if isinstance(plan.body, LifelikeBody):
        return LifelikePainter(plan.canvas, plan.body, settings.uptake)
    return PlainPainter(plan.canvas, plan.body, settings.uptake)


def _scanned(plan: ScanPlan, settings: CohortSettings) -> Array:
    """The canvas as the scanner shows it: blurred and noisy."""
    spacing, cov = plan.spacing, plan.liver_cov
    activity = blur(plan.canvas.activity, plan.fwhm_mm, spacing)
    np.clip(activity, 0, None, out=activity)
    reference = Axes(*(a / s for a, s in zip(plan.canvas.axes, plan.body.scale, strict=True)))
    activity += noise(activity, reference, cov, plan.grain_mm, spacing, stream(plan.seed, "noise"))
    if settings.edge_noise[1] > 1:
        activity += edge_noise(activity.shape, spacing, settings.edge_noise, cov, stream(plan.seed, "edge noise"))
    return np.clip(activity, 0, None, out=activity)


def _growths(body: Body, settings: CohortSettings, cancer_type: str) -> list[Growth]:
    """The lesions of a patient, the primary last."""
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


def _grid(
    body: Body, scanner: Scanner, spacing: FloatArray, field: str, offset: FloatArray, rng: np.random.Generator
) -> tuple[Canvas, tuple[int, int, int], Array, Array]:
    """The canvas around the body, and the shape, first voxel (body mm) and canvas start (voxels) of the whole scan."""
    low, high = (f * body.scale[2] for f in FIELDS[field])
    if field in UPPER_END_SD:
        high = min(high + rng.normal(0, UPPER_END_SD[field]), 930.0)
    low += rng.uniform(-60, 30) if low < 0 else rng.uniform(-15, 5)
    across = scanner.field_mm
    shape = (round(across / spacing[0]), round(across / spacing[1]), max(round((high - low) / spacing[2]), 8))
    corner = np.array([-(shape[0] - 1) / 2 * spacing[0] - offset[0], -(shape[1] - 1) / 2 * spacing[1] - offset[1], low])
    half = np.array([250.0 if body.arms == "up" else 290.0, 150.0]) * body.scale[:2] + body.fat_mm + 15
    start, stop = np.zeros(3, dtype=int), np.array(shape)
    for d in (0, 1):
        start[d] = max(int((-half[d] - corner[d]) / spacing[d]), 0)
        stop[d] = min(int(np.ceil((half[d] - corner[d]) / spacing[d])) + 1, shape[d])
    canvas = Canvas(corner + start * spacing, tuple(stop - start), spacing, body.scale)
    return canvas, shape, corner, start


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
    """Add a growth to the true mask; returns its lesion and its voxel (mm) nearest to its centroid."""
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
