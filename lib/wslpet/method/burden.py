"""Tumour burden of a scan: of the lesions that are annotated, or of those that the network finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wslpet.analysis.burden.body import NOTHING_KNOWN, Body
from wslpet.analysis.burden.lesions import DRAWN, Origin, measure_lesions
from wslpet.analysis.burden.tables import PatientRecord, State
from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Annotation
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume, resample_labels
from wslpet.method.inference.pipeline import delineate, find_lesions
from wslpet.method.inference.result import Result
from wslpet.method.network.checkpoint import Model

# A seed that was made of a mask is a voxel of it, but for rounding.
ON_VOXEL = 0.01
# Label values are bytes.
MOST_LESIONS = 255
_CORNERS = np.ones((3, 3, 3), dtype=bool)
_NO_FACTS: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class MeasuredScan:
    """What the tables say of a scan, and its lesions' numbers in its voxels, as stored."""

    record: PatientRecord
    labels: Volume


def annotated_burden(
    image: str,
    volume: Volume,
    annotation: Annotation,
    settings: Settings,
    mask: Volume | None = None,
    body: Body = NOTHING_KNOWN,
    facts: Mapping[str, str] = _NO_FACTS,
) -> MeasuredScan:
    """Measure the lesions of an annotation.

    Parameters
    ----------
    image, body, facts : as of `PatientRecord`.
    volume : (i, j, k) in SUV, as stored.
    mask : that was submitted, on any grid; its connected parts are the lesions. None: the seeds are delineated.

    Raises
    ------
    InputError
        when a seed cannot be delineated, or the mask has more than `MOST_LESIONS` parts.
    """
    primary = annotation.primary
    method, step = (DRAWN, 0) if mask is not None else (primary.contour.method, primary.contour.step)
    whole = Origin(annotation.cancer_type, method, step, "annotation", annotation.user, annotation.time)
    if annotation.cancer_type == NO_TUMOUR:
        nothing = volume.with_array(np.zeros(volume.shape, np.uint8), "label")
        none = Origin(NO_TUMOUR, user=annotation.user, time=annotation.time)
        return MeasuredScan(PatientRecord(image, facts, "no tumour", body=body, origin=none), nothing)
    if mask is None:
        result = delineate(volume, annotation, settings=settings, sure=True)
        labels, origins = result.lesion_mask(), _origins(result, annotation)
    else:
        labels = resample_labels(numbered_lesions(mask, annotation), volume)
        origins = {int(n): whole for n in np.unique(labels.array) if n}
    lesions = measure_lesions(volume, labels, origins, body)
    if not lesions:
        raise InputError(f"{image}: the submitted mask has no voxel on the scan; submit it again")
    return MeasuredScan(PatientRecord(image, facts, "measured", "", lesions, body, whole), labels)


def found_burden(
    image: str,
    volume: Volume,
    model: Model,
    body: Body = NOTHING_KNOWN,
    facts: Mapping[str, str] = _NO_FACTS,
) -> MeasuredScan:
    """Measure the lesions that the network finds; parameters as `annotated_burden`."""
    result = find_lesions(volume, model)
    labels = result.lesion_mask()
    origins = {n: _found(lesion.cancer_type, model) for n, lesion in enumerate(result.lesions, start=1)}
    lesions = measure_lesions(volume, labels, origins, body)
    state: State = "measured" if lesions else "no tumour"
    origin = _found(result.cancer_type if lesions else NO_TUMOUR, model)
    return MeasuredScan(PatientRecord(image, facts, state, "", lesions, body, origin), labels)


def is_of_mask(annotation: Annotation, mask: Volume) -> bool:
    """Whether an annotation was made of a submitted mask: each seed is the voxel nearest the middle of a part."""
    if annotation.cancer_type == NO_TUMOUR or annotation.background:
        return False
    parts, _ = _parts(mask.array)
    windows = ndimage.find_objects(parts)
    for seed in annotation.seeds:
        index = mask.to_index(np.array(seed.position))
        if not mask.contains(index):
            return False
        voxel = np.rint(index).astype(int)
        part = int(parts[tuple(voxel)])
        if not part or np.abs(index - voxel).max() > ON_VOXEL:
            return False
        start = [w.start for w in windows[part - 1]]
        voxels = np.argwhere(parts[windows[part - 1]] == part) + start
        away = np.linalg.norm((voxels - voxels.mean(axis=0)) * mask.spacing, axis=1)
        if away[(voxels == voxel).all(axis=1)][0] > away.min() + 1e-6:
            return False
    return True


def numbered_lesions(mask: Volume, annotation: Annotation) -> Volume:
    """Number the connected parts of a mask: those of the annotation's seeds in their order, then the others by size.

    Parts are those of one label value; voxels that touch at a corner are connected.
    """
    parts, sizes = _parts(mask.array)
    if len(sizes) > MOST_LESIONS:
        raise InputError(
            f"{mask.name}: {len(sizes)} unconnected parts, more than {MOST_LESIONS}; remove specks from the mask"
        )
    order: dict[int, None] = {}
    for seed in annotation.seeds:
        index = np.rint(mask.to_index(np.array(seed.position))).astype(int)
        if mask.contains(index) and (part := int(parts[tuple(index)])):
            order[part] = None
    for part in sorted(range(1, len(sizes) + 1), key=lambda part: -sizes[part - 1]):
        order[part] = None
    numbers = np.zeros(len(sizes) + 1, np.uint8)
    numbers[list(order)] = np.arange(1, len(order) + 1)
    return mask.with_array(numbers[parts], "label")


def _parts(labels: Array) -> tuple[Array, list[int]]:
    """Connected parts of each label value, numbered from 1, and their sizes in voxels."""
    parts = np.zeros(labels.shape, np.int32)
    count = 0
    for value in np.unique(labels[labels > 0]):
        own, found = ndimage.label(labels == value, _CORNERS)
        parts[own > 0] = own[own > 0] + count
        count += found
    return parts, np.bincount(parts.ravel(), minlength=count + 1)[1:].tolist()


def _origins(result: Result, annotation: Annotation) -> dict[int, Origin]:
    origins = {}
    for lesion in result.lesions:
        seed = annotation.seeds[lesion.seeds[0]]
        origins[lesion.number] = Origin(
            lesion.cancer_type, lesion.contour.method, lesion.contour.step, "annotation", seed.user, seed.time
        )
    return origins


def _found(cancer_type: str, model: Model) -> Origin:
    return Origin(cancer_type, "ours", 0, "model", f"model {model.version}")
