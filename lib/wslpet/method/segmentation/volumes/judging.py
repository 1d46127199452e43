"""Whether a new model finds the clicked lesions better than the one in use, by the answers that readers get (ours)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from wslpet.core.arrays import Array
from wslpet.core.seeds import NO_TUMOUR, Annotation
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.result import Result
from wslpet.method.network.checkpoint import Model
from wslpet.method.training.judging import Answer, Judged, Judgement, judgement_of

# A lesion is found if a contour comes this near to its seed, mm.
FOUND_MM = 8.0


def judge_lesions(incumbent: Model, model: Model, patients: Iterable[tuple[str, Volume, Annotation]]) -> Judgement:
    """Compare all that two models find, on patients from whom the new one has not learned.

    Parameters
    ----------
    patients : name, scan in SUV as stored, and what the reader said of it.
    """
    return judgement_of(
        Judged(name, said.cancer_type, _answer(incumbent, scan, said), _answer(model, scan, said))
        for name, scan, said in patients
    )


def _answer(model: Model, scan: Volume, said: Annotation) -> Answer:
    result = find_lesions(scan, model)
    if said.cancer_type != NO_TUMOUR:
        error = _distance_mm(result, scan, np.array(said.position))
        return Answer(error is not None and error <= FOUND_MM, result.cancer_type, error)
    return Answer(None, result.cancer_type, None)


def _distance_mm(result: Result, scan: Volume, place: Array) -> float | None:
    """From a place (mm RAS) to the nearest voxel of a lesion; None without a lesion."""
    ras = scan.to_ras()
    voxels = [np.argwhere(one.inside) + one.start for one in result.contours]
    if not voxels:
        return None
    tree = cKDTree(np.concatenate(voxels) * ras.spacing)
    return round(float(tree.query(ras.to_index(place) * ras.spacing)[0]), 1)
