"""`python -m benchmarks.several`: all lesions of phantom patients clicked in one request.

2 to 12 lesions a patient. Per lesion Dice, error of the total metabolic tumour volume (TMTV), and the time of a
request, in this process on an open scan. `--part choose` are the patients that constants were chosen on, `report`
others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from wslpet.core.seeds import Seed
from wslpet.data.phantom.settings import PRESETS
from wslpet.data.phantom.several import SeveralLesions, patient_with
from wslpet.method.inference.pipeline import delineate, warm_up

FIRST_SEED = {"choose": 30_000, "report": 40_000}
LESIONS = range(2, 13)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / max(int(one.sum() + other.sum()), 1)


def patients(part: str, number: int, preset: str) -> Iterator[SeveralLesions]:
    for n in range(number):
        yield patient_with(LESIONS[n % len(LESIONS)], FIRST_SEED[part] + n, PRESETS[preset])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=FIRST_SEED, default="report")
    parser.add_argument("--patients", type=int, default=22)
    parser.add_argument("--preset", default="plain")
    args = parser.parse_args()
    warm_up()
    overlaps, errors, merged, times = [], [], 0, []
    for case in patients(args.part, args.patients, args.preset):
        seeds = [Seed(case.cancer_type, tuple(click.tolist())) for click in case.clicks]
        delineate(case.volume, seeds[:1], checked=False)
        start = time.perf_counter()
        result = delineate(case.volume, seeds, checked=False)
        times.append((len(seeds), time.perf_counter() - start))
        numbers = result.lesion_mask().array
        of_seed = {n: lesion.number for lesion in result.lesions for n in lesion.seeds}
        own = [dice(numbers == of_seed[n], case.lesions == n + 1) if n in of_seed else 0.0 for n in range(len(seeds))]
        overlaps += own
        merged += len(seeds) - len(result.lesions)
        truth = (case.lesions > 0).sum()
        errors.append(((numbers > 0).sum() - truth) / truth)
        print(f"{case.volume.name} {len(seeds):2d} lesions: Dice {np.mean(own):.3f}, worst {min(own):.2f}, ", end="")
        print(f"TMTV {errors[-1]:+.1%}, {1000 * times[-1][1]:.0f} ms", flush=True)
    good, bad = (np.mean(np.array(overlaps) >= 0.85), np.mean(np.array(overlaps) < 0.5))
    print(f"{len(overlaps)} lesions: mean Dice {np.mean(overlaps):.3f}, median {np.median(overlaps):.3f}, ", end="")
    print(
        f"{good:.0%} at least 0.85, {bad:.1%} below 0.5; {merged} merged with another; TMTV: median of the absolute ",
        end="",
    )
    print(f"error {np.median(np.abs(errors)):.1%}, median error {np.median(errors):+.1%}; ", end="")
    print(f"{1000 * sum(t for _, t in times) / sum(n for n, _ in times):.1f} ms a lesion")


if __name__ == "__main__":
    main()
