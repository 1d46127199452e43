"""Convert a submitted mask to an annotation: a cancer type, and one seed per lesion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.analysis.uptake import central_voxels
from wslpet.core.arrays import Array
from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed, annotation_of
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.io.masks import read_mask
from wslpet.server.errors import quoted
from wslpet.server.storage.annotations.clicks import MAX_POINTS

_AS_NAMED: Mapping[str, str] = {}


def annotation_from_label(
    path: Path,
    image: Volume,
    info: Mapping[str, Any],
    settings: Settings,
    renamed: Mapping[str, str] = _AS_NAMED,
    before: Annotation | None = None,
) -> Annotation:
    """Make an annotation of a mask: a seed near the centre of each lesion, the largest lesion first.

    A lesion is a connected component of a label value. Of more than `MAX_POINTS` lesions the largest are used. The
    cancer type is that of the label value or of the segment's name. An empty mask means "no
    tumour", if this is a class.

    Parameters
    ----------
    path : the mask. Its grid may differ from the image's, as of a cropped segmentation.
    image : the scan that it annotates.
    info : information sent with the mask; "label_info": [{"name", "idx"}] names the label values, as 3D Slicer does.
    settings : settings of the method, with the cancer types.
    renamed : former name of a cancer type → its name in the settings.
    before : the annotation that the mask supersedes. If its primary is in the mask, that lesion comes first.

    Raises
    ------
    SeedError
        if the mask is empty, has several types or an unknown type, or a lesion is outside the image.
    """
    mask = _read(path, image)
    values = np.unique(mask.array[mask.array > 0])
    user = str(info.get("user") or info.get("client_id") or "unknown")[:100]
    if values.size == 0 and settings.no_tumour:
        return annotation_of(Seed(NO_TUMOUR, tuple(image.to_world((np.array(image.shape) - 1) / 2)), user=user))
    if values.size == 0:
        raise SeedError(f"label of {image.name} is empty; outline the tumour, or leave the patient unannotated")
    types = {_type_of(float(value), info.get("label_info"), settings, renamed) for value in values}
    if len(types) != 1:
        raise SeedError(
            f"label of {image.name} holds {len(types)} types ({', '.join(sorted(types))}); a patient has one: "
            "keep the segments of one type"
        )
    cancer_type, time = types.pop(), datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    seeds = []
    for voxel in _primary_first(central_voxels(mask.array, mask.spacing), mask, before)[:MAX_POINTS]:
        position = mask.to_world(voxel)
        index = image.to_index(position)
        if not image.contains(index):
            raise SeedError(
                f"label of {image.name} lies outside it, at {position.round(1).tolist()} mm; "
                "export the segmentation with the PET as reference"
            )
        seeds.append(Seed(cancer_type, tuple(position), tuple(np.round(index, 3)), user, time))
    return Annotation(tuple(seeds))


def _primary_first(centres: list[Array], mask: Volume, before: Annotation | None) -> list[Array]:
    """Put the centre nearest to the primary of the annotation before first, if the mask contains that primary."""
    point = None if before is None else np.rint(mask.to_index(np.array(before.position))).astype(int)
    if point is None or not mask.contains(point) or not mask.array[tuple(point)]:
        return centres
    away = [float(np.linalg.norm((centre - point) * mask.spacing)) for centre in centres]
    first = int(np.argmin(away))
    return [centres[first], *centres[:first], *centres[first + 1 :]]


def _read(path: Path, image: Volume) -> Volume:
    try:
        return read_mask(path, image)
    except InputError as error:
        raise SeedError(f"label cannot be used: {error}") from error


def _type_of(value: float, label_info: Any, settings: Settings, renamed: Mapping[str, str]) -> str:
    names = {former.casefold(): name for former, name in renamed.items()}
    names |= {name.casefold(): name for name in settings.types}
    if isinstance(label_info, list):
        for entry in label_info:
            if isinstance(entry, Mapping) and entry.get("idx") == value:
                name = str(entry.get("name")).casefold()
                if name not in names:
                    known = ", ".join(settings.types)
                    raise SeedError(f"segment {quoted(entry.get('name'))} is no cancer type; name it one of {known}")
                return names[name]
    for name, label in settings.labels.items():
        if label == value:
            return name
    raise SeedError(f"label value {value:g} stands for no cancer type; the values are {settings.labels}")
