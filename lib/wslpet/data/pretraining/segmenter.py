"""Train the shipped segmenter on phantoms with their masks (python -m wslpet.data.pretraining.segmenter).

It learns from MIPs all around the body. Phantoms and steps were chosen on 55 real patients and on phantoms: with 360
phantoms and 2,400 steps, Dice is 0.48 there and 0.51 on 67 others; with 870 and 10,000 steps, 0.55 and 0.58; with 2,610
and 30,000, 0.59 and 0.61. More of the same was left out (20,000 steps on 3,480 phantoms: 0.57 and 0.60). In the fourth
round small lesions have more weight, and the mean of the weights before and after it is shipped [1]_.

References
----------
.. [1] Wortsman M, and others. Model soups: averaging weights of multiple fine-tuned models improves accuracy without
   increasing inference time. ICML 2022.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from wslpet.core.arrays import BoolArray
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.several import patient_with
from wslpet.method.inference.finding.maps import ANGLES, displayed
from wslpet.method.network.coarse_segmenter import GRID_MM, CoarseNet, load_network, save_network
from wslpet.method.projection.rotated import rotated_mips
from wslpet.method.segmentation.volumes.lesion_mips import LesionMip, mip_arrays, mips_from_arrays
from wslpet.method.segmentation.volumes.training import train_coarse
from wslpet.method.shipped import SHIPPED_SEGMENTER

# Kind of phantom → first random seed, how many, and share of the windows. Tests, measurements and the CAM network's
# training use other seeds. The 40 phantoms from 500,000 on were used to evaluate the segmenter.
KINDS = {"lifelike": (500_040, 1_620, 0.6), "several": (900_000, 720, 0.3), "none": (910_000, 270, 0.1)}
MOST_LESIONS = 12
# Simulating a phantom with this voxel size takes one second, with a scanner's own voxel size four.
VOXEL_MM = (4.07, 4.07, GRID_MM)
# A pixel of a lesion is hidden if another tissue along the ray is hotter; hidden pixels have no weight in the training.
OWN_SHARE = 0.999
# Share of the phantoms, steps, and weight of small lesions (see `sample`); each round goes on from the weights of the
# one before, with a learning rate anew. All phantoms take about 8 GB of memory.
ROUNDS = ((1 / 3, 10_000, 1.0), (2 / 3, 10_000, 1.0), (1.0, 10_000, 1.0), (1.0, 10_000, 4.0))


def phantom_mips(kind: str, seed: int) -> list[LesionMip]:
    """Simulate one phantom of a kind, and project it at each of `ANGLES`."""
    volume, lesions = simulated(kind, seed)
    images, own, marked = (
        [np.ascontiguousarray(displayed(mip).pixels) for mip in rotated_mips(volume.with_array(array), ANGLES)]
        for array in (
            volume.array,
            np.where(lesions, volume.array, 0).astype(np.float32),
            lesions.astype(np.float32),
        )
    )
    return [
        LesionMip(image, mark > 0, (mark > 0) & (part >= OWN_SHARE * image), np.zeros(mark.shape, dtype=bool))
        for image, part, mark in zip(images, own, marked, strict=True)
    ]


def simulated(kind: str, seed: int) -> tuple[Volume, BoolArray]:
    """A phantom, RAS in SUV, and where it has lesions (x, y, z).

    Parameters
    ----------
    kind : "lifelike", 1 to 24 lesions in a lifelike body, or none; "several", 1 to 12 in a plain body with mimics;
        "none", mimics alone.
    """
    mimics = PRESETS["train-mimics"]
    if kind == "several":
        several = patient_with(1 + seed % MOST_LESIONS, seed, mimics, VOXEL_MM)
        return several.volume, several.lesions > 0
    settings = replace(mimics, no_tumour_fraction=1.0) if kind == "none" else PRESETS[kind]
    patient = make_patient(seed, settings, VOXEL_MM)
    return patient.volume.to_ras(), patient.truth.to_ras().array > 0


def cached_mips(kind: str, seed: int, cache: Path) -> list[LesionMip]:
    """A phantom's MIPs, simulated once and then read from the cache."""
    path = cache / f"mips-{kind}-{seed}.npz"
    if not path.exists():
        np.savez_compressed(path, **mip_arrays(phantom_mips(kind, seed)))
    with np.load(path, allow_pickle=False) as content:
        return list(mips_from_arrays(content))


def pretrained(
    phantoms: Mapping[str, Sequence[Sequence[LesionMip]]],
    steps: int,
    initial: CoarseNet | None = None,
    report: Callable[[int, float], None] | None = None,
    small_weight: float = 1.0,
) -> CoarseNet:
    """Train the network in one round; phantoms : kind → phantoms, each with its MIPs; others as of `train_coarse`."""
    share = np.array([KINDS[kind][2] for kind in phantoms])

    def draw(rng: np.random.Generator) -> LesionMip:
        own = list(phantoms.values())[rng.choice(len(phantoms), p=share / share.sum())]
        mips = own[int(rng.integers(len(own)))]
        return mips[int(rng.integers(len(mips)))]

    return train_coarse(draw, steps, initial, report=report, small_weight=small_weight)


def mean_of(one: CoarseNet, other: CoarseNet) -> CoarseNet:
    """Network whose weights, and means and variances of the batch norm, are the means of those of two."""
    network, weights = copy.deepcopy(one), other.state_dict()
    for name, values in network.state_dict().items():
        if values.dtype.is_floating_point:
            values.lerp_(weights[name], 0.5)
    return network


def main() -> None:
    """Simulate the phantoms, train the network, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the phantoms and of the steps")
    parser.add_argument("--initial", type=Path, help="weights after the rounds before the last: run only that one")
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=SHIPPED_SEGMENTER)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    phantoms = all_phantoms(args.share, args.cache, args.workers)
    before = network = load_network(args.initial) if args.initial else None
    rounds = [(part, round(args.share * steps), small) for part, steps, small in ROUNDS]
    for number, (part, steps, small) in enumerate(rounds[-1:] if args.initial else rounds, start=1):
        own = {kind: some[: max(1, round(part * len(some)))] for kind, some in phantoms.items()}
        with tqdm(total=steps, desc=f"round {number}") as bar:

            def report(step: int, loss: float, bar: tqdm[None] = bar) -> None:
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")

            before, network = network, pretrained(own, steps, network, report, small)
    counts = {kind: len(some) for kind, some in phantoms.items()}
    assert before is not None and network is not None
    save_network(mean_of(before, network), args.out, {"phantoms": counts, "rounds": rounds})
    print(f"{args.out}: {counts} phantoms; share of them, steps and weight of small lesions {rounds}")


def all_phantoms(share: float, cache: Path, workers: int) -> dict[str, list[list[LesionMip]]]:
    """Kind → phantoms, each with its MIPs; a share of `KINDS`, simulated once and then read from the cache."""
    jobs = [(kind, first + n) for kind, (first, count, _) in KINDS.items() for n in range(max(1, round(share * count)))]
    phantoms: dict[str, list[list[LesionMip]]] = {}
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(partial(cached_mips, cache=cache), *zip(*jobs, strict=True), chunksize=4)
        for (kind, _), mips in zip(jobs, tqdm(drawn, total=len(jobs), desc="phantoms"), strict=True):
            phantoms.setdefault(kind, []).append(mips)
    return phantoms


if __name__ == "__main__":
    main()
