"""JSON models of the result of an inference: measurements, voxels of the lesions, CAMs."""

from __future__ import annotations

import base64

import numpy as np
from pydantic import BaseModel, Field

from wslpet.analysis.uptake import central_voxel
from wslpet.core.arrays import Array
from wslpet.core.seeds import CONTOUR_METHODS, MAX_STEP, NO_TUMOUR, OURS, ContourChoice
from wslpet.core.volume import Volume
from wslpet.method.delineation import contours as delineation
from wslpet.method.inference.result import Lesion, Result
from wslpet.method.projection.mip import VIEWS

Triple = tuple[float, float, float]


class LesionMask(BaseModel):
    """A lesion in a window of the scan's RAS voxels."""

    start: tuple[int, int, int] = Field(description="first voxel (x, y, z) of the window")
    shape: tuple[int, int, int] = Field(description="voxels of the window along x, y, z")
    bits: str = Field(description="base64 of one bit a voxel, z running fastest, most significant bit first")

    def voxels(self) -> Array:
        """Return the lesion's voxels (n, 3), indices (x, y, z) of the RAS volume."""
        packed = np.frombuffer(base64.b64decode(self.bits), dtype=np.uint8)
        inside = np.unpackbits(packed, count=int(np.prod(self.shape))).reshape(self.shape)
        return np.argwhere(inside) + self.start


class Contour(BaseModel):
    """The reader's choice of contour, see `wslpet.core.seeds.ContourChoice`."""

    method: str = Field(default=OURS, description=f"one of {', '.join(CONTOUR_METHODS)}", max_length=20)
    step: int = Field(default=0, ge=-MAX_STEP, le=MAX_STEP, description="contours larger (> 0) or smaller (< 0)")

    def choice(self) -> ContourChoice:
        """Convert to a `ContourChoice`. Raises SeedError if there is no such contour."""
        return ContourChoice(self.method, self.step)

    @classmethod
    def from_choice(cls, choice: ContourChoice) -> Contour:
        """Inverse of `choice`."""
        return cls(method=choice.method, step=choice.step)


class DelineatedLesion(BaseModel):
    """One of the lesions of a scan with its measurements."""

    number: int = Field(description="from 1, the primary first")
    cancer_type: str
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float = Field(description="total lesion glycolysis, ml × SUV")
    centroid: Triple = Field(description="mm RAS")
    contour: Contour = Field(description="as it was used: steps beyond the largest or the smallest contour are none")
    seeds: list[int] = Field(description="which of the seeds that were sent lie in it, counted from 0")
    probability: float | None = Field(description="that it is a lesion, of one that was found; null of a click's")
    doubt: str = Field(description="of its seeds, in words, why they may not be on a tumour; else empty")
    mask: LesionMask


class Delineated(BaseModel):
    """The lesions of a scan. Fields that describe a single lesion are those of the first one."""

    lesions: list[DelineatedLesion] = Field(description="no voxel is of two")
    cancer_type: str
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    mtv_ml: float = Field(description="metabolic tumour volume of all lesions of the scan")
    tlg: float = Field(description="total lesion glycolysis of all lesions of the scan, ml × SUV")
    centroid: Triple = Field(description="mm RAS")
    mask: LesionMask
    doubt: str = Field(default="", description="of a click, in words, why it may not be on a tumour; else empty")


class MapCells(BaseModel):
    """A map over the MIP of one view, in cells: a CAM (eq. 1 of the paper), or what is unusual."""

    shape: tuple[int, int] = Field(description="cells along (u, z)")
    origin: tuple[float, float] = Field(description="outer edge of the first cell along (u, z), in voxels")
    size: tuple[float, float] = Field(description="of a cell along (u, z), in voxels")
    cells: str = Field(description="base64 of one byte a cell, 255 the maximum, z running fastest")


class Unusual(BaseModel):
    """How far the uptake lies above normal uptake."""

    maps: dict[str, MapCells] = Field(description="by view; 255 where the uptake is twice as high")
    people: int = Field(description="whose uptake the atlas of normal uptake holds")
    of_site: bool = Field(description="whether they are annotated patients of this server; else they are phantoms")


class Prediction(BaseModel):
    """Prediction of the weights in use for a scan."""

    model_version: str
    cancer_type: str = Field(description='of the lesions; "no tumour" where none was found')
    probabilities: dict[str, float]
    confidence: float | None
    lesion_probability: float = Field(description="that the patient has a lesion at all")
    lesion: Delineated | None
    cams: dict[str, MapCells]
    position: Triple | None = Field(description="mm RAS; what agreeing with the first lesion records as the seed")
    positions: list[Triple] = Field(description="of every lesion; what agreeing with all records as seeds")
    affine: list[list[float]] = Field(description="4 × 4, RAS voxel → mm RAS")


def delineated(result: Result) -> Delineated | None:
    """Convert the lesions of a result to a JSON model; None without a lesion."""
    if not result.lesions:
        return None
    lesions = [_lesion(result, *pair) for pair in zip(result.lesions, result.contours, strict=True)]
    first = result.lesions[0]
    return Delineated(
        lesions=lesions,
        cancer_type=first.cancer_type,
        volume_ml=first.volume_ml,
        suv_max=first.suv_max,
        suv_peak=first.suv_peak,
        suv_mean=first.suv_mean,
        mtv_ml=sum(lesion.volume_ml for lesion in result.lesions),
        tlg=sum(lesion.tlg for lesion in result.lesions),
        centroid=first.position,
        doubt=result.doubt,
        mask=lesions[0].mask,
    )


def _lesion(result: Result, lesion: Lesion, contour: delineation.Contour) -> DelineatedLesion:
    x, y, z = contour.inside.shape
    return DelineatedLesion(
        number=lesion.number,
        cancer_type=lesion.cancer_type,
        volume_ml=lesion.volume_ml,
        suv_max=lesion.suv_max,
        suv_peak=lesion.suv_peak,
        suv_mean=lesion.suv_mean,
        tlg=lesion.tlg,
        centroid=lesion.position,
        contour=Contour.from_choice(lesion.contour),
        seeds=list(lesion.seeds),
        probability=lesion.probability,
        doubt="; ".join(result.doubts[n] for n in lesion.seeds if result.doubts[n]),
        mask=LesionMask(start=contour.start, shape=(x, y, z), bits=_base64(np.packbits(contour.inside))),
    )


def prediction(result: Result, volume: Volume, cell_mm: float) -> Prediction:
    """Convert a result of the network; `volume` is the scan as stored, `cell_mm` the size of a CAM cell."""
    ras = volume.to_ras()
    positions = _seed_positions(result, ras)
    return Prediction(
        model_version=result.model_version,
        cancer_type=result.cancer_type,
        probabilities=result.type_probabilities,
        confidence=result.confidence,
        lesion_probability=1.0 if result.lesion_probability is None else result.lesion_probability,
        lesion=delineated(result),
        cams={view: _cells(result, view, cell_mm) for view in VIEWS if view in result.cams},
        position=next(iter(positions), None),
        positions=positions,
        affine=ras.affine.tolist(),
    )


def _seed_positions(result: Result, ras: Volume) -> list[Triple]:
    """Positions of the seeds that are recorded if a person agrees: the central voxel of each lesion, mm RAS."""
    if result.cancer_type == NO_TUMOUR or not result.findings:
        return []
    if not result.contours:
        return [result.findings[0][0]]
    voxels = [central_voxel(contour.inside, ras.spacing) + contour.start for contour in result.contours]
    return [(x, y, z) for x, y, z in ras.to_world(np.array(voxels)).tolist()]


def _cells(result: Result, view: str, cell_mm: float) -> MapCells:
    image, cam = result.images[view], result.cams[view]
    to_voxels = image.grid_mm / np.array(image.spacing)
    origin, size = np.array(image.origin) * to_voxels, cell_mm / np.array(image.spacing)
    return map_cells(cam, tuple(origin.tolist()), tuple(size.tolist()))


def map_cells(values: Array, origin: tuple[float, float], size: tuple[float, float]) -> MapCells:
    """Convert a map (u, z) from 0 to 1 to a JSON model; origin and size : see `MapCells`."""
    cells = _base64(np.rint(values * 255).astype(np.uint8))
    return MapCells(shape=(values.shape[0], values.shape[1]), origin=origin, size=size, cells=cells)


def _base64(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
