"""JSON models of an inference's result: measurements, the lesion's voxels, CAM cells."""

from __future__ import annotations

import base64

import numpy as np
from pydantic import BaseModel, Field

from wslpet.analysis.uptake import central_voxel
from wslpet.core.arrays import Array
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.volume import Volume
from wslpet.method.inference.result import Result
from wslpet.method.projection.mip import VIEWS

Triple = tuple[float, float, float]


class LesionMask(BaseModel):
    """A lesion in a window of the scan's RAS voxels."""

    start: tuple[int, int, int] = Field(description="first voxel (x, y, z) of the window")
    shape: tuple[int, int, int] = Field(description="voxels of the window along x, y, z")
    bits: str = Field(description="base64 of one bit a voxel, z running fastest, most significant bit first")

    def voxels(self) -> Array:
        """(n, 3) the lesion's voxels (x, y, z) in the RAS volume."""
        packed = np.frombuffer(base64.b64decode(self.bits), dtype=np.uint8)
        inside = np.unpackbits(packed, count=int(np.prod(self.shape))).reshape(self.shape)
        return np.argwhere(inside) + self.start


class Delineated(BaseModel):
    """A lesion with its measurements."""

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


class CamCells(BaseModel):
    """The CAM of one view, eq. 1 of the paper, in cells."""

    shape: tuple[int, int] = Field(description="cells along (u, z)")
    origin: tuple[float, float] = Field(description="outer edge of the first cell along (u, z), in voxels")
    size: tuple[float, float] = Field(description="of a cell along (u, z), in voxels")
    cells: str = Field(description="base64 of one byte a cell, 255 the maximum, z running fastest")


class Prediction(BaseModel):
    """Prediction of the weights in use for a scan."""

    model_version: str
    cancer_type: str
    probabilities: dict[str, float]
    confidence: float | None
    lesion: Delineated | None
    cams: dict[str, CamCells]
    position: Triple | None = Field(description="mm RAS; what agreeing records as the seed")
    affine: list[list[float]] = Field(description="4 × 4, RAS voxel → mm RAS")


def delineated(result: Result) -> Delineated | None:
    """Lesion of a result as JSON model; None without a lesion."""
    if result.contour is None:
        return None
    first, inside = result.lesions[0], result.contour.inside
    x, y, z = inside.shape
    return Delineated(
        cancer_type=first.cancer_type,
        volume_ml=first.volume_ml,
        suv_max=first.suv_max,
        suv_peak=first.suv_peak,
        suv_mean=first.suv_mean,
        mtv_ml=sum(lesion.volume_ml for lesion in result.lesions),
        tlg=sum(lesion.tlg for lesion in result.lesions),
        centroid=first.position,
        doubt=result.doubt,
        mask=LesionMask(start=result.contour.start, shape=(x, y, z), bits=_base64(np.packbits(inside))),
    )


def prediction(result: Result, volume: Volume, cell_mm: float) -> Prediction:
    """Convert a result without a seed; the scan is as stored, `cell_mm` the size of a CAM cell."""
    ras = volume.to_ras()
    return Prediction(
        model_version=result.model_version,
        cancer_type=result.cancer_type,
        probabilities=result.type_probabilities,
        confidence=result.confidence,
        lesion=delineated(result),
        cams={view: _cells(result, view, cell_mm) for view in VIEWS if view in result.cams},
        position=_seed_position(result, ras),
        affine=ras.affine.tolist(),
    )


def _seed_position(result: Result, ras: Volume) -> Triple | None:
    """Where a person who agrees would have clicked: the lesion's central voxel, as of a submitted mask."""
    if result.cancer_type == NO_TUMOUR or not result.findings:
        return None
    if result.contour is None:
        return result.findings[0][0]
    index = central_voxel(result.contour.inside, ras.spacing) + result.contour.start
    x, y, z = ras.to_world(index).tolist()
    return x, y, z


def _cells(result: Result, view: str, cell_mm: float) -> CamCells:
    image, cam = result.images[view], result.cams[view]
    to_voxels = image.grid_mm / np.array(image.spacing)
    origin, size = np.array(image.origin) * to_voxels, cell_mm / np.array(image.spacing)
    return CamCells(
        shape=(cam.shape[0], cam.shape[1]),
        origin=tuple(origin.tolist()),
        size=tuple(size.tolist()),
        cells=_base64(np.rint(cam * 255).astype(np.uint8)),
    )


def _base64(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
