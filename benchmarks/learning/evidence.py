"""`python -m benchmarks.learning.evidence`: found lesions against false places, by `Settings.least_evidence`.

Phantoms of the preset "hard", with mimics, and 1 to 12 lesions (`benchmarks.common.several`); the shipped weights. A
found lesion is a hit where more than half of its contour is lesion. The default was chosen on `--part choose`.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.common.several import patient_with
from wslpet.data.phantom.settings import PRESETS
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.localisation import select_lesions
from wslpet.method.network.checkpoint import load_model
from wslpet.method.projection.mip import project

FIRST_SEED = {"choose": 31_000, "report": 41_000}
MOST_LESIONS = 12
LEVELS = (1.0, 0.1, 0.02, 0.01, 0.003, 0.001, 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=FIRST_SEED, default="report")
    parser.add_argument("--patients", type=int, default=24)
    args = parser.parse_args()
    model, lesions = load_model(), 0
    hits, false = np.zeros(len(LEVELS)), np.zeros(len(LEVELS))
    for n in range(args.patients):
        case = patient_with(1 + n % MOST_LESIONS, FIRST_SEED[args.part] + n, PRESETS["hard"])
        ras = case.volume.to_ras()
        output = run_network(project(ras), model)
        lesions += int(case.lesions.max())
        for level, least in enumerate(LEVELS):
            contours = [one.contour for one in select_lesions(ras, output.findings, least)]
            found = [case.lesions[contour.window][contour.inside] for contour in contours]
            right = [int(np.bincount(own[own > 0]).argmax()) for own in found if (own > 0).mean() > 0.5]
            hits[level] += len(set(right))
            false[level] += len(found) - len(right)
    print(f"{args.part}: {args.patients} patients, {lesions} lesions")
    for least, hit, wrong in zip(LEVELS, hits, false, strict=True):
        rates = f"sensitivity {hit / lesions:.3f}, false places a patient {wrong / args.patients:.2f}"
        print(f"least_evidence {least:g}: {rates}")


if __name__ == "__main__":
    main()
