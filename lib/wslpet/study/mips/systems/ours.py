"""Ours, learned on site from clicks, or from masks for comparison; and the shipped segmenter as it is."""

from __future__ import annotations

from dataclasses import replace

from wslpet.core.arrays import Array
from wslpet.method.network import coarse_segmenter
from wslpet.method.segmentation.finder import THRESHOLD
from wslpet.method.segmentation.learner import Learning, learn
from wslpet.method.segmentation.training import SegmenterTraining
from wslpet.study.mips.cohort import Cohort
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems.case import Case, Effort

# Systems that learn from clicks, and their variants, each without one part.
CLICKS = ("one_click", "every_lesion")
VARIANTS = ("guard", "unknown", "implants", "shipped")


def predict_learned(case: Case) -> list[Prediction]:
    """Learn from one click a patient, a click on every lesion, or masks; `SYSTEM-PART` is without a part."""
    base, _, without = case.system.partition("-")
    people = case.cohort.learners(case.learn_from, base)
    finder = learn(people, _config(case.effort, without), report=lambda line: case.report(f"{case.system}: {line}"))
    found = finder.predict(case.test.images[list(case.numbers)])
    return [
        _framed(case.test, k, p, float(presence), finder.types[int(scores.argmax())])
        for k, p, presence, scores in zip(case.numbers, found.probability, found.presence, found.types, strict=True)
    ]


def _config(effort: Effort, without: str) -> Learning:
    config = Learning(training=SegmenterTraining(steps=effort.steps, random_seed=effort.seed))
    changes = {
        "": config,
        "guard": replace(config, contour=replace(config.contour, guard=None)),
        "unknown": replace(config, ignore=False),
        "implants": replace(config, training=replace(config.training, implants=False)),
        "shipped": replace(config, shipped=False),
    }
    return changes[without]


def _framed(test: Cohort, k: int, probability: Array, presence: float, cancer_type: str) -> Prediction:
    strength = test.on_image(k, probability[0])
    return Prediction(strength, strength >= THRESHOLD, presence, cancer_type, presence)


def predict_shipped(case: Case) -> list[Prediction]:
    """The shipped segmenter, which learned from phantoms; it is told nothing of the cohort."""
    network = coarse_segmenter.load_network()
    result = []
    for k in case.numbers:
        image = case.test.people[k].image
        found = coarse_segmenter.find(network, image)
        score = coarse_segmenter.presence(found, image.spacing)
        result.append(Prediction(found, found >= coarse_segmenter.THRESHOLD, score, None))
    return result
