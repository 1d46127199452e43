"""The systems that are compared: each learns from some people and predicts others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from benchmarks.real.mips.cams import learn_cams, predict_cams
from benchmarks.real.mips.cohort import Cohort
from benchmarks.real.mips.judging import Prediction
from wslpet.core.arrays import Array
from wslpet.method.network import coarse_segmenter
from wslpet.method.network.checkpoint import load_model
from wslpet.method.segmentation.finder import THRESHOLD
from wslpet.method.segmentation.learner import Learning, learn, site_atlas
from wslpet.method.segmentation.training import SegmenterTraining

LEARNERS = ("one_click", "every_lesion", "full_masks")
SYSTEMS = (*LEARNERS, "cam_distance", "shipped", "shipped_cam", "atlas", "threshold")
# What each is told, for the page.
TITLES = {
    "one_click": "one click a patient",
    "every_lesion": "a click on every lesion",
    "full_masks": "the same network, full masks",
    "cam_distance": "CAM and distance loss, one click",
    "shipped": "shipped segmenter as it is",
    "shipped_cam": "shipped CAM network as it is",
    "atlas": "atlas of normal uptake alone",
    "threshold": "one threshold on the SUV",
}
# Variants of `one_click`, each without one part.
VARIANTS = ("atlas", "guard", "unknown", "implants", "shipped")
LEVELS = np.arange(0.2, 7.0, 0.2)


@dataclass(frozen=True)
class Effort:
    """How long the systems learn. steps : of each of two networks; epochs : of the CAM network."""

    steps: int = 1000
    epochs: int = 20


def predictions(
    system: str, cohort: Cohort, learn_from: Sequence[int], test: Cohort, numbers: Sequence[int], effort: Effort
) -> list[Prediction]:
    """What a system that learned from some people of a cohort says of some people of another one.

    `one_click-PART` is the system without a part of `VARIANTS`.
    """
    base, _, without = system.partition("-")
    if base in LEARNERS:
        people = cohort.learners(learn_from, base)
        finder = learn(people, _config(effort, without), report=lambda line: print(f"  {system}: {line}", flush=True))
        found = finder.predict(test.images[numbers])
        types = finder.types
        return [
            _framed(test, k, p, float(presence), types[int(scores.argmax())])
            for k, p, presence, scores in zip(numbers, found.probability, found.presence, found.types, strict=True)
        ]
    if base == "cam_distance":
        return predict_cams(test, numbers, learn_cams(cohort, learn_from, effort.epochs), True)
    if base == "shipped":
        return [_shipped(test, k) for k in numbers]
    if base == "shipped_cam":
        return predict_cams(test, numbers, load_model(), False)
    return _levelled(base, cohort, learn_from, test, numbers)


def _config(effort: Effort, without: str) -> Learning:
    config = Learning(training=SegmenterTraining(steps=effort.steps))
    changes = {
        "": config,
        "atlas": replace(config, use_atlas=False),
        "guard": replace(config, contour=replace(config.contour, guard=None)),
        "unknown": replace(config, ignore=False),
        "implants": replace(config, training=replace(config.training, implants=False)),
        "shipped": replace(config, shipped=False),
    }
    return changes[without]


def _framed(test: Cohort, k: int, probability: Array, presence: float, cancer_type: str) -> Prediction:
    person = test.people[k]
    strength = test.frames[k].from_frame(probability[0], person.image.pixels.shape, person.image.spacing)
    return Prediction(strength, strength >= THRESHOLD, presence, cancer_type, presence)


def _shipped(test: Cohort, k: int) -> Prediction:
    image = test.people[k].image
    found = coarse_segmenter.find(coarse_segmenter.load_network(), image)
    score = coarse_segmenter.presence(found, image.spacing)
    return Prediction(found, found >= coarse_segmenter.THRESHOLD, score, None)


def _levelled(
    base: str, cohort: Cohort, learn_from: Sequence[int], test: Cohort, numbers: Sequence[int]
) -> list[Prediction]:
    """Excess over the atlas, or SUV itself, above the level that suits the masks of the training patients best."""
    atlas = site_atlas(cohort.learners(learn_from, "full_masks")) if base == "atlas" else None

    limit = None if atlas is None else atlas.on_grid(cohort.images.shape[2])[0, -1]

    def strength(of: Cohort, k: int) -> Array:
        person = of.people[k]
        if limit is None:
            return person.image.pixels
        excess = np.clip(np.nan_to_num(of.images[k, 0].astype(np.float32)) - limit, 0, None)
        excess = ndimage.gaussian_filter(excess, 1)
        return of.frames[k].from_frame(excess, person.image.pixels.shape, person.image.spacing)

    ill = [k for k in learn_from if cohort.ill[k]]
    dice = np.zeros((len(ill), len(LEVELS)))
    for row, k in enumerate(ill):
        values, truth = strength(cohort, k), cohort.people[k].mask
        masks = [values >= level for level in LEVELS]
        dice[row] = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in masks]
    level = LEVELS[dice.mean(axis=0).argmax()]
    maps = [strength(test, k) for k in numbers]
    return [Prediction(values, values >= level, float(values.max()), None) for values in maps]
