"""`python -m benchmarks.learning.lesions`: all lesions from no click, on phantoms that taught nothing.

Cohorts: "hard" (one primary and its nodes, mimics); "healthy" (the same with mimics and no tumour); "several" (2 to 12
lesions in hard phantoms); "lifelike" (1 to 24 lesions, or none). Detection, Dice and type of the lesions that stand at
`--least`; sensitivity at one false place a patient, and by false places (FROC curve); error of the total metabolic
tumour volume (TMTV); specificity at 95 % sensitivity, hard against healthy; and a reliability table. `--part choose`
are the patients that the default of `Settings.least_probability` was chosen on, `report` others.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.several import patient_with
from wslpet.method.inference.finding.candidates import FEATURES
from wslpet.method.inference.finding.probability import load_lesion_probability
from wslpet.method.inference.finding.selection import SURE, found_lesions
from wslpet.method.inference.forward import run_network
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.projection.mip import project
from wslpet.method.shipped import SHIPPED_MODEL

COHORTS = ("hard", "healthy", "several", "lifelike")
FIRST_SEED = {"choose": 33_000, "report": 53_000}
MOST_LESIONS = 12
# A lesion is found where a contour holds this share of it.
HELD = 0.5
FALSE_PLACES = 1.0
CURVE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Case:
    """A phantom. lesions : (x, y, z), numbers of the lesions; 1 for all where they are not told apart."""

    cancer_type: str
    volume: Volume
    lesions: np.ndarray


@dataclass(frozen=True, eq=False)
class Place:
    """A place that may be a lesion.

    Parameters
    ----------
    sure : whether the CAMs are sure of it.
    right : whether more than half of it is lesion.
    lesions : numbers of those of which it holds `HELD` or more.
    voxels, inside : of its contour, and of these in a lesion.
    """

    probability: float
    sure: bool
    right: bool
    lesions: tuple[int, ...]
    voxels: int
    inside: int


@dataclass(frozen=True, eq=False)
class Judged:
    """Every place of one phantom, however improbable.

    Parameters
    ----------
    places : the most probable first; they do not overlap.
    patient : probability of any lesion.
    lesions, voxels : of the truth.
    """

    places: list[Place]
    patient: float
    lesions: int
    voxels: int
    type_right: bool

    def standing(self, least: float) -> list[Place]:
        return [one for one in self.places if one.sure or one.probability >= least]

    def dice(self, least: float) -> float:
        found = self.standing(least)
        total = sum(one.voxels for one in found) + self.voxels
        return 2 * sum(one.inside for one in found) / max(total, 1)

    def detected(self, least: float) -> bool:
        return any(one.inside for one in self.standing(least))

    def volume_error(self, least: float) -> float:
        return abs(sum(one.voxels for one in self.standing(least)) - self.voxels) / self.voxels


def drawn(cohort: str, part: str, patients: int) -> Iterator[Case]:
    """Phantoms of a cohort, the same whatever `patients` is."""
    settings = PRESETS["lifelike" if cohort == "lifelike" else "hard"]
    if cohort == "healthy":
        settings = replace(settings, no_tumour_fraction=1.0)
    first = FIRST_SEED[part] + 1000 * COHORTS.index(cohort)
    for n in range(patients):
        if cohort == "several":
            several = patient_with(2 + n % (MOST_LESIONS - 1), first + n, settings)
            yield Case(several.cancer_type, several.volume, several.lesions)
        else:
            patient = make_patient(first + n, settings)
            yield Case(patient.cancer_type, patient.volume, patient.truth.array)


def judged(case: Case, model: Model) -> Judged:
    ras = case.volume.to_ras()
    output = run_network(project(ras), model)
    everything = found_lesions(output.candidates(ras), load_lesion_probability(FEATURES), 0.0, output.confidence)
    sizes = np.bincount(case.lesions.ravel(), minlength=2)[1:]
    places = []
    for candidate, probability in everything.lesions:
        own = case.lesions[candidate.contour.window][candidate.contour.inside]
        held = np.bincount(own, minlength=len(sizes) + 1)[1:]
        numbers = np.flatnonzero((held >= HELD * sizes) & (sizes > 0)) + 1
        inside = int(held.sum())
        places.append(
            Place(
                probability,
                candidate.primary and output.confidence >= SURE,
                inside > 0.5 * own.size,
                tuple(numbers.tolist()),
                own.size,
                inside,
            )
        )
    count, voxels = int((sizes > 0).sum()), int(sizes.sum())
    return Judged(places, everything.patient, count, voxels, output.tumour_type == case.cancer_type)


def sensitivity(cases: Sequence[Judged], false_places: float) -> tuple[float, float]:
    """Share of the lesions found at so many false places a patient, and the probability at which."""
    places = sorted(
        ((one.probability, one.right, one.lesions, n) for n, case in enumerate(cases) for one in case.places),
        reverse=True,
    )
    hit, false, best = set(), 0, (0.0, 1.0)
    for probability, right, lesions, n in places:
        hit |= {(n, lesion) for lesion in lesions}
        false += not right
        if false > false_places * len(cases):
            break
        best = (len(hit) / sum(one.lesions for one in cases), probability)
    return best


def curve(cases: Sequence[Judged]) -> None:
    """Print the FROC curve: sensitivity by false places a patient, and the least probability at which."""
    print("| false places a patient | lesions found % | least probability |\n| --- | --- | --- |")
    for false_places in CURVE:
        share, at = sensitivity(cases, false_places)
        print(f"| {false_places:g} | {100 * share:.0f} | {at:.2f} |")


def specificity(ill: Sequence[Judged], healthy: Sequence[Judged], at: float = 0.95) -> tuple[float, float]:
    """Specificity at a sensitivity, and the patient's probability at which."""
    cut = float(np.quantile([one.patient for one in ill], 1 - at, method="lower"))
    return float(np.mean([one.patient < cut for one in healthy])), cut


def told(name: str, cases: Sequence[Judged], least: float) -> None:
    """Print a cohort's figures at the least probability."""
    ill = [one for one in cases if one.lesions]
    if ill:
        standing = [one.standing(least) for one in ill]
        none = np.mean([not own for own in standing])
        false = np.mean([sum(not place.right for place in own) for own in standing])
        detected, dice = np.mean([(one.detected(least), one.dice(least)) for one in ill], axis=0)
        kind = np.mean([one.type_right and bool(own) for one, own in zip(ill, standing, strict=True)])
        error = np.median([one.volume_error(least) for one in ill])
        hit = sum(len({lesion for place in own for lesion in place.lesions}) for own in standing)
        lesions = hit / sum(one.lesions for one in ill)
        print(f"{name}: {len(ill)} with a tumour: detected {detected:.1%}, Dice {dice:.3f}, type {kind:.1%}, ", end="")
        print(f"lesions found {lesions:.1%}, no lesion found {none:.1%}, {false:.2f} false places a patient, ", end="")
        print(f"TMTV median error {error:.1%}")
    well = [one for one in cases if not one.lesions]
    if well:
        clean = np.mean([not one.standing(least) for one in well])
        print(f"{name}: {len(well)} without: no lesion found {clean:.1%}")


def reliability(cases: Sequence[Judged]) -> None:
    """Print how often places, and patients, of each probability have a lesion."""
    places = np.array([(one.probability, one.right) for case in cases for one in case.places])
    patients = np.array([(one.patient, one.lesions > 0) for one in cases])
    for name, table in (("places", places), ("patients", patients)):
        print(f"| {name} of probability | n | mean probability | share with a lesion |\n| --- | --- | --- | --- |")
        for low, high in itertools.pairwise(BINS):
            own = table[(table[:, 0] >= low) & (table[:, 0] < high)]
            if len(own):
                print(f"| {low:g} to {high:g} | {len(own)} | {own[:, 0].mean():.2f} | {own[:, 1].mean():.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=FIRST_SEED, default="report")
    parser.add_argument("--patients", type=int, default=40, help="of each cohort")
    parser.add_argument("--cohorts", nargs="+", choices=COHORTS, default=COHORTS)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL)
    parser.add_argument("--least", type=float, nargs="+", default=[Settings().least_probability])
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, found = load_model(args.model), {}
    for name in args.cohorts:
        found[name] = [judged(case, model) for case in drawn(name, args.part, args.patients)]
        for least in args.least:
            print(f"least probability {least:g}: ", end="")
            told(name, found[name], least)
        if name == "several":
            share, at = sensitivity(found[name], FALSE_PLACES)
            print(f"{share:.1%} of the lesions at {FALSE_PLACES:g} false places a patient, probability {at:.2f}")
            curve(found[name])
    if {"hard", "healthy"} <= found.keys():
        share, cut = specificity(found["hard"], found["healthy"])
        print(f"specificity {share:.1%} at 95 % sensitivity, patient's probability {cut:.2f}")
    reliability([one for cases in found.values() for one in cases])


if __name__ == "__main__":
    main()
