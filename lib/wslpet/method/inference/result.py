"""Result of one scan: mask, lesions, CAMs and type probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.localisation import Lesion
from wslpet.method.projection.mip import GridImage


@dataclass(frozen=True, eq=False)
class Result:
    """Result of detection or delineation in one scan.

    Parameters
    ----------
    mask : uint8 label values (i, j, k), in the geometry and orientation of the scan as given.
    cancer_type : the seed's type, or the most probable one.
    type_probabilities : class → probability; empty without a model.
    confidence : share of the mass of the 3D map, over all types and voxels, at the finding (ours); None when a seed
        was given. Low when the CAMs are diffuse.
    findings : strongest points of the 3D map of `cancer_type`, (position mm RAS, share of its mass); the first
        became the lesion, the others follow by strength.
    lesions : as in the mask.
    cams : view → (u, z) CAM of `cancer_type` by eq. 1 in cells; empty without a model.
    images : view → MIP as given to the network.
    contour : the lesion in a window of the scan's RAS voxels; None without a lesion.
    doubt : a sentence on why there may be no tumour at a click; empty if there is no doubt.
    slices : range along the mask's last axis that contains all of it, if known.
    model_version : empty without a model.
    latencies : stage → seconds.
    """

    mask: Volume
    cancer_type: str
    type_probabilities: dict[str, float]
    lesions: tuple[Lesion, ...]
    confidence: float | None = None
    findings: tuple[tuple[tuple[float, float, float], float], ...] = ()
    cams: dict[str, Array] = field(default_factory=dict)
    images: dict[str, GridImage] = field(default_factory=dict)
    contour: Contour | None = None
    doubt: str = ""
    slices: slice | None = None
    model_version: str = ""
    latencies: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; MTV is metabolic tumour volume in ml, TLG total lesion glycolysis in ml × SUV."""
        return {
            "cancer_type": self.cancer_type,
            "type_probabilities": self.type_probabilities,
            "confidence": self.confidence,
            "findings": [{"position": list(position), "share": share} for position, share in self.findings],
            "lesions": [lesion.to_dict() for lesion in self.lesions],
            "mtv_ml": sum(lesion.volume_ml for lesion in self.lesions),
            "tlg": sum(lesion.tlg for lesion in self.lesions),
            "model_version": self.model_version,
            "latencies": self.latencies,
        }
