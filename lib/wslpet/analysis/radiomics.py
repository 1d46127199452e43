"""Radiomics features of a lesion: PyRadiomics with the settings of `radiomics.yaml`, with IBSI ids."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.arrays import BoolArray
from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume

SETTINGS_FILE = Path(__file__).with_name("radiomics.yaml")
FEATURES_FILE = Path(__file__).with_name("radiomics_features.csv")


@dataclass(frozen=True)
class Feature:
    """One radiomics feature.

    Parameters
    ----------
    name : name in the results: PyRadiomics' class and name, or a key of `wslpet.analysis.uptake.measure`.
    ibsi : id in the IBSI reference manual; empty if IBSI does not have the feature.
    reference : tag in IBSI's tables of reference values.
    deviation : how the definition differs from IBSI's; empty if it does not.
    """

    name: str
    ibsi: str
    reference: str
    deviation: str


@lru_cache
def catalogue() -> dict[str, Feature]:
    """Return all features by name, in the order of the results."""
    with open(FEATURES_FILE, newline="", encoding="utf-8") as file:
        found = [
            Feature(row["feature"], row["ibsi"], row["reference"], row["deviation"]) for row in csv.DictReader(file)
        ]
    return {feature.name: feature for feature in found}


def radiomics(volume: Volume, inside: BoolArray, strict: bool = True, **changes: Any) -> dict[str, float]:
    """Compute every feature of one lesion.

    The volume is first reoriented to right, anterior, superior and cropped around the lesion, so that features depend
    neither on the stored orientation nor on the field of view.

    Parameters
    ----------
    volume : (i, j, k) in SUV, as stored.
    inside : (i, j, k) bool.
    strict : False leaves texture and shape NaN where a lesion is too small for them.
    changes : PyRadiomics settings that override the file's; None removes one.

    Returns
    -------
    name → value, of all in `catalogue`; NaN where a feature is not defined (the correlation of a uniform lesion).

    Raises
    ------
    InputError
        when nothing is inside, or the lesion is too small for shape and texture.
    """
    if inside.shape != volume.shape:
        raise GeometryError(f"{volume.name}: mask of shape {inside.shape} does not fit the scan's {volume.shape}")
    if not inside.any():
        raise InputError(f"{volume.name}: the mask is empty, so there is nothing to measure; outline the lesion")
    mask = volume.with_array(inside.astype(np.uint8), "label")
    part, own = surroundings(volume.to_ras(), mask.to_ras().array > 0)
    values = measure(part, own)
    try:
        values |= _pyradiomics(part, own, changes)
    except ValueError as error:
        if strict:
            raise InputError(
                f"{volume.name}: a lesion of {int(inside.sum())} voxels ({values['volume_ml']:.2f} ml) is too small "
                f"for shape and texture ({error}); measure a larger one"
            ) from error
    return {name: values.get(name, math.nan) for name in catalogue()}


def settings() -> dict[str, Any]:
    """Return PyRadiomics' settings as JSON-ready values: bin width in SUV, voxel size in mm, and others."""
    return dict(_extractor(()).settings)


def _pyradiomics(part: Volume, own: BoolArray, changes: dict[str, Any]) -> dict[str, float]:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(part.array.T, dtype=np.float32))
    mask = sitk.GetImageFromArray(np.ascontiguousarray(own.T.astype(np.uint8)))
    for one in (image, mask):
        one.SetSpacing(part.spacing)
    found = _extractor(tuple(sorted(changes.items()))).execute(image, mask)
    return {name: float(found[f"original_{name}"]) for name in catalogue() if f"original_{name}" in found}


@lru_cache(maxsize=8)
def _extractor(changes: tuple[tuple[str, Any], ...]) -> Any:
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.ERROR)
    extractor = featureextractor.RadiomicsFeatureExtractor(str(SETTINGS_FILE))
    extractor.settings.update(changes)
    return extractor
