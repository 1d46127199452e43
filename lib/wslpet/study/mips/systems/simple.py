"""Systems without a network: one threshold, the atlas of normal uptake, a click with 41 % of the maximum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.method.segmentation.learner import site_atlas
from wslpet.method.segmentation.targets import click_contour
from wslpet.study.mips.cohort import Cohort, truth_of
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems.cams import UNGUARDED
from wslpet.study.mips.systems.case import Case

LEVELS = np.arange(0.2, 7.0, 0.2)
# The clinic's share of the maximum: without a ring, the background is 0.
CLICK_41 = replace(UNGUARDED, contrast=0.41, ring_mm=(0.0, 0.0))


def predict_click(case: Case) -> list[Prediction]:
    """41 % of the maximum at the click on each patient, which is given at test time; nothing without a click."""
    result = []
    for k in case.numbers:
        person = case.test.people[k]
        pixels = person.image.pixels
        mask = np.zeros(pixels.shape, dtype=bool)
        if person.click is not None:
            mask = click_contour(pixels, pixels, np.array(person.click, dtype=float), CLICK_41)
        result.append(Prediction(mask * pixels, mask, 0.0, None))
    return result


def predict_level(case: Case) -> list[Prediction]:
    """SUV, or its excess over the atlas, above the level that suits the masks of the training patients best."""
    limit = None
    if case.system == "atlas":
        atlas = site_atlas(case.cohort.learners(case.learn_from, "full_masks"))
        limit = atlas.on_grid(case.cohort.images.shape[2])[0, -1]
    ill = [k for k in case.learn_from if case.cohort.ill[k]]
    dice = np.zeros((len(ill), len(LEVELS)))
    for row, k in enumerate(ill):
        values, truth = _strength(case.cohort, k, limit), truth_of(case.cohort.people[k])
        masks = [values >= level for level in LEVELS]
        dice[row] = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in masks]
    level = LEVELS[dice.mean(axis=0).argmax()]
    maps = [_strength(case.test, k, limit) for k in case.numbers]
    return [Prediction(values, values >= level, float(values.max()), None) for values in maps]


def _strength(cohort: Cohort, k: int, limit: Array | None) -> Array:
    if limit is None:
        return cohort.people[k].image.pixels
    excess = np.clip(np.nan_to_num(cohort.images[k, 0].astype(np.float32)) - limit, 0, None)
    return cohort.on_image(k, ndimage.gaussian_filter(excess, 1))
