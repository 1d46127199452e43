"""Delineation of one click, against threshold baselines, on scans with expert masks.

`python -m wslpet.study.one_click FOLDER`. The click is a jittered point of the mask, unless a table gives it. No
network is used, so the tumours may be of any type.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from wslpet.analysis.overlap import agreement, click_threshold, hd95
from wslpet.analysis.statistics import bootstrap, paired_p
from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.volume import Volume
from wslpet.data.cohort_table import find_table, read_table, types_in
from wslpet.data.importers.common import CLICK_SD_MM, click_in
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume
from wslpet.method.inference.pipeline import delineate
from wslpet.study.results.text_table import Table, interval, shown_p

Delineation = Callable[[Volume, Array], Array]


def _ours(volume: Volume, position: FloatArray) -> Array:
    seed = Seed("lung", tuple(position.tolist()))  # the type has no part in the outline
    return delineate(volume, seed, checked=False).mask.array > 0


METHODS: dict[str, Delineation] = {
    "ours, a click": _ours,
    "click + 41 %": lambda volume, position: click_threshold(volume, position, 0.41),
    "click + SUV ≥ 4.0": lambda volume, position: click_threshold(volume, position, suv=4.0),
    "click + SUV ≥ 2.5": lambda volume, position: click_threshold(volume, position, suv=2.5),
}


@dataclass(frozen=True, eq=False)
class Clicked:
    """A scan, the expert's mask of the same grid, and a click, mm RAS."""

    name: str
    volume: Volume
    truth: BoolArray
    position: FloatArray


def clicked(folder: Path, jitter_mm: float = CLICK_SD_MM) -> Iterator[Clicked]:
    """Read scans with masks: a cohort's table, or a folder of folders with one `*image*` and one `*mask*` each.

    Raises
    ------
    InputError
        when there are none, or one cannot be read.
    """
    try:
        table = find_table(folder)
    except InputError:
        yield from _of_folders(folder, jitter_mm)
        return
    rows, problems = read_table(table, types_in(table))
    if problems:
        raise InputError("\n  ".join([f"{table}: {len(problems)} rows cannot be used", *problems]))
    for row in rows:
        if row.mask is not None:
            volume = read_volume(row.scan)
            mask = read_mask(row.mask, volume)
            yield Clicked(row.name, volume, mask.array > 0, np.array(row.seed.position))


def _of_folders(folder: Path, jitter_mm: float) -> Iterator[Clicked]:
    pairs = [(next(p.glob("*image*.nii.gz"), None), next(p.glob("*mask*.nii.gz"), None)) for p in _below(folder)]
    found = [(image, mask) for image, mask in pairs if image is not None and mask is not None]
    if not found:
        raise InputError(f"{folder} has no cohort.csv, and no folder in it an *image*.nii.gz and a *mask*.nii.gz")
    for image, path in found:
        volume, name = read_volume(image), image.parent.name
        mask = read_mask(path, volume)
        yield Clicked(name, volume, mask.array > 0, np.array(click_in(mask, name, jitter_mm)))


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def compared(cases: Sequence[Clicked], what: str) -> Table:
    """Compare the methods on the cases: a table with one row for each method."""
    dice: dict[str, list[float]] = {}
    far: dict[str, list[float]] = {}
    beyond: dict[str, list[float]] = {}
    short: dict[str, list[float]] = {}
    for case in tqdm(cases, unit="scan", desc="one click", disable=None):
        for name, method in METHODS.items():
            mask = method(case.volume, case.position)
            agrees = agreement(mask, case.truth, case.volume.voxel_ml)
            dice.setdefault(name, []).append(agrees.dice)
            beyond.setdefault(name, []).append(agrees.false_positive_ml)
            short.setdefault(name, []).append(agrees.false_negative_ml)
            far.setdefault(name, []).append(hd95(mask, case.truth, case.volume.spacing))
    ours = next(iter(METHODS))
    rows = [
        (
            name,
            interval(bootstrap(np.array(own))),
            f"{np.median(own):.2f}",
            shown_p(None if name == ours else paired_p(dice[ours], own)),
            f"{np.median(far[name]):.0f}",
            interval(bootstrap(np.array(beyond[name])), ".0f"),
            interval(bootstrap(np.array(short[name])), ".0f"),
        )
        for name, own in dice.items()
    ]
    volumes = [case.truth.sum() * case.volume.voxel_ml for case in cases]
    return Table(
        "one-click",
        f"One click on {len(cases)} lesions: {what}.",
        ("method", "Dice", "median", "p", "HD95 mm", "false positive ml", "false negative ml"),
        tuple(rows),
        (
            "Mean [95 % interval, bootstrap over patients]; HD95: median. p: Wilcoxon's signed-rank test on Dice, "
            f"against ours. Lesions of {min(volumes):.0f} to {max(volumes):.0f} ml, median {np.median(volumes):.0f}.",
        ),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of folders with an image and a mask each, or a cohort")
    parser.add_argument("--jitter", type=float, default=CLICK_SD_MM, metavar="MM", help="SD per axis of the click")
    args = parser.parse_args()
    print(compared(list(clicked(args.folder, args.jitter)), args.folder.name).markdown())


if __name__ == "__main__":
    main()
