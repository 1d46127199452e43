"""`python -m benchmarks.learning.evidence`: found lesions against false places, by `Settings.least_evidence`.

Phantoms of the preset "hard", with mimics: as they are, with one tumour each, and with 1 to 12 lesions
(`benchmarks.common.several`); the shipped weights. A found lesion is a hit where more than half of its contour is
lesion. The default was chosen on `--part choose`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from benchmarks.common.several import patient_with
from wslpet.core.volume import Volume
from wslpet.data.phantom import make_patient
from wslpet.data.phantom.settings import PRESETS
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.localisation import select_lesions
from wslpet.method.network.checkpoint import load_model
from wslpet.method.projection.mip import project

FIRST_SEED = {"choose": 31_000, "report": 41_000}
MOST_LESIONS = 12
LEVELS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclass
class Counts:
    """Of one kind of patient: lesions found and places that are none, by level."""

    patients: int = 0
    lesions: int = 0
    hits: np.ndarray = field(default_factory=lambda: np.zeros(len(LEVELS)))
    false: np.ndarray = field(default_factory=lambda: np.zeros(len(LEVELS)))
    false_ml: np.ndarray = field(default_factory=lambda: np.zeros(len(LEVELS)))


def patients(part: str, count: int) -> Iterator[tuple[str, Volume, np.ndarray]]:
    """Kind, scan and lesions (x, y, z), numbered from 1, of each patient."""
    for n in range(count):
        seed = FIRST_SEED[part] + n
        single = make_patient(seed, PRESETS["hard"])
        yield "one tumour", single.volume.to_ras(), (single.truth.to_ras().array > 0).astype(np.int64)
        several = patient_with(1 + n % MOST_LESIONS, seed, PRESETS["hard"])
        yield "1 to 12 lesions", several.volume.to_ras(), several.lesions


def main() -> None:
    """Print sensitivity and false places of each level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=FIRST_SEED, default="report")
    parser.add_argument("--patients", type=int, default=24)
    args = parser.parse_args()
    model, kinds = load_model(), dict[str, Counts]()
    for kind, ras, lesions in tqdm(patients(args.part, args.patients), total=2 * args.patients, disable=None):
        counts = kinds.setdefault(kind, Counts())
        output = run_network(project(ras), model)
        counts.patients += 1
        counts.lesions += int(lesions.max())
        for level, least in enumerate(LEVELS):
            contours = [one.contour for one in select_lesions(ras, output.findings, least)]
            found = [lesions[contour.window][contour.inside] for contour in contours]
            right = [int(np.bincount(own[own > 0]).argmax()) for own in found if (own > 0).mean() > 0.5]
            counts.hits[level] += len(set(right))
            counts.false[level] += len(found) - len(right)
            counts.false_ml[level] += sum(own.size for own in found if (own > 0).mean() <= 0.5) * ras.voxel_ml
    for kind, counts in kinds.items():
        print(f"{args.part}, {kind}: {counts.patients} patients, {counts.lesions} lesions")
        for level, least in enumerate(LEVELS):
            sensitivity = counts.hits[level] / counts.lesions
            false, ml = counts.false[level] / counts.patients, counts.false_ml[level] / counts.patients
            print(f"least_evidence {least:g}: sensitivity {sensitivity:.3f}, false places {false:.2f} ({ml:.1f} ml)")


if __name__ == "__main__":
    main()
