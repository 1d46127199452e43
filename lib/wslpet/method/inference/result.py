"""Result of one scan: mask, lesions, CAMs and type probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.arrays import Array
from wslpet.core.seeds import DEFAULT_CONTOUR, ContourChoice
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.projection.mip import GridImage


@dataclass(frozen=True)
class Lesion:
    """One lesion with its measurements.

    Parameters
    ----------
    number : from 1; its value in `Result.lesion_mask`.
    label : of its cancer type; its value in `Result.mask`.
    cancer_type : its name.
    index : centroid, fractional voxel of the volume as stored.
    position : centroid, mm RAS.
    volume_ml, suv_max, suv_peak, suv_mean, tlg : see `wslpet.analysis.uptake.measure`.
    contour : how its contour was chosen.
    seeds : which of the seeds that were given lie in it, counted from 0; none of a lesion that was found.
    probability : that it is a lesion, of one that was found, calibrated for the shipped network; None of one that was
        clicked.
    """

    number: int
    label: int
    cancer_type: str
    index: tuple[float, float, float]
    position: tuple[float, float, float]
    volume_ml: float
    suv_max: float
    suv_peak: float
    suv_mean: float
    tlg: float
    contour: ContourChoice = DEFAULT_CONTOUR
    seeds: tuple[int, ...] = ()
    probability: float | None = None

    @classmethod
    def from_contour(
        cls,
        volume: Volume,
        contour: Contour,
        stored: Volume,
        label: int,
        cancer_type: str,
        number: int = 1,
        choice: ContourChoice = DEFAULT_CONTOUR,
        seeds: tuple[int, ...] = (),
        probability: float | None = None,
    ) -> Lesion:
        """Measure the contour of a lesion in a RAS volume; `stored` is the same scan as stored."""
        part, mask = surroundings(volume.cropped(contour.window), contour.inside)
        position = part.to_world(np.argwhere(mask).mean(axis=0))
        index = stored.to_index(position)
        (i, j, k), (x, y, z), uptake = index.tolist(), position.tolist(), measure(part, mask)
        return cls(
            number,
            label,
            cancer_type,
            index=(i, j, k),
            position=(x, y, z),
            volume_ml=uptake["volume_ml"],
            suv_max=uptake["suv_max"],
            suv_peak=uptake["suv_peak"],
            suv_mean=uptake["suv_mean"],
            tlg=uptake["tlg"],
            contour=choice,
            seeds=seeds,
            probability=probability,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "number": self.number,
            "label": self.label,
            "cancer_type": self.cancer_type,
            "centroid": {"index": list(self.index), "position": list(self.position)},
            "volume_ml": self.volume_ml,
            "suv_max": self.suv_max,
            "suv_peak": self.suv_peak,
            "suv_mean": self.suv_mean,
            "tlg": self.tlg,
            "contour": self.contour.to_dict(),
            "seeds": list(self.seeds),
            "probability": self.probability,
        }


@dataclass(frozen=True, eq=False)
class Result:
    """Result of detection or delineation in one scan.

    Parameters
    ----------
    mask : uint8 (i, j, k), the label of the cancer type in all lesions, in the geometry and orientation of the scan
        as given; `lesion_mask` tells the lesions apart.
    cancer_type : the seed's type, or the most probable one; `NO_TUMOUR` where no lesion was found.
    type_probabilities : class → probability; empty without a model.
    confidence : probability of `cancer_type` times the share of the first finding, and without a lesion the probability
        that there is none (ours); None when a seed was given.
        Low when the CAMs are diffuse.
    lesion_probability : that the patient has a lesion at all (ours); None when a seed was given.
    findings : strongest back-projected points for `cancer_type`, (position mm RAS, share as of `Finding`); the first
        became the first lesion, the others follow by strength.
    lesions : numbered from 1, the primary first; no voxel is of two.
    cams : view → (u, z) CAM of `cancer_type` by eq. 1 in cells; empty without a model.
    images : view → MIP as given to the network.
    contours : each lesion in a window of the scan's RAS voxels.
    doubts : of each seed, a sentence on why there may be no tumour at it; empty if there is no doubt.
    slices : range along the mask's last axis that contains all of it, if known.
    model_version : empty without a model.
    latencies : stage → seconds.
    """

    mask: Volume
    cancer_type: str
    type_probabilities: dict[str, float]
    lesions: tuple[Lesion, ...]
    confidence: float | None = None
    lesion_probability: float | None = None
    findings: tuple[tuple[tuple[float, float, float], float], ...] = ()
    cams: dict[str, Array] = field(default_factory=dict)
    images: dict[str, GridImage] = field(default_factory=dict)
    contours: tuple[Contour, ...] = ()
    doubts: tuple[str, ...] = ()
    slices: slice | None = None
    model_version: str = ""
    latencies: dict[str, float] = field(default_factory=dict)

    @property
    def contour(self) -> Contour | None:
        """Of the first lesion; None without a lesion."""
        return self.contours[0] if self.contours else None

    @property
    def doubt(self) -> str:
        """Sentences on why there may be no tumour at a click; empty if there is no doubt."""
        return "; ".join(doubt for doubt in self.doubts if doubt)

    def lesion_mask(self) -> Volume:
        """As `mask`, with each lesion's number in its voxels: uint8 (i, j, k)."""
        numbers = np.zeros(self.mask.shape, dtype=np.uint8, order="F")
        ras = self.mask.in_ras(numbers)
        for lesion, contour in zip(self.lesions, self.contours, strict=True):
            ras[contour.window][contour.inside] = lesion.number
        return self.mask.with_array(numbers)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; MTV is metabolic tumour volume in ml, TLG total lesion glycolysis in ml × SUV."""
        return {
            "cancer_type": self.cancer_type,
            "type_probabilities": self.type_probabilities,
            "confidence": self.confidence,
            "lesion_probability": self.lesion_probability,
            "findings": [{"position": list(position), "share": share} for position, share in self.findings],
            "lesions": [lesion.to_dict() for lesion in self.lesions],
            "mtv_ml": sum(lesion.volume_ml for lesion in self.lesions),
            "tlg": sum(lesion.tlg for lesion in self.lesions),
            "model_version": self.model_version,
            "latencies": self.latencies,
        }
