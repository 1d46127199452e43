"""One click on real lesions (python -m benchmarks.real.clicks DIR): ours, what else is used, and what is possible."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.real.thresholds import METHODS
from wslpet.data.real_lesions import RealLesion, real_lesions
from wslpet.method.delineation.contours import contours
from wslpet.method.inference.localisation import CLICK_SD_MM, lesion_at

OURS, BEST = "ours", "best candidate"
ALL = (OURS, *METHODS, BEST)


@dataclass(frozen=True)
class Outcome:
    """What a method made of a click: Dice, volume as a share of the truth's, whether the contour holds the click."""

    lesion: str
    group: str
    ml: float
    click: int
    method: str
    dice: float
    volume_ratio: float
    holds: bool


def outcomes(lesion: RealLesion, methods: Sequence[str] = ALL) -> list[Outcome]:
    """All methods on all clicks of a lesion."""
    found = []
    for number, voxel in enumerate(lesion.clicks()):
        for method in methods:
            mask = mask_of(lesion, voxel, method)
            both, total, own = (float(a.sum()) for a in (mask & lesion.truth, mask, lesion.truth))
            ml = round(own * lesion.volume.voxel_ml, 2)
            dice, holds = 2 * both / (total + own), bool(mask[tuple(voxel)])
            found.append(Outcome(lesion.name, lesion.group, ml, number, method, dice, total / own, holds))
    return found


def mask_of(lesion: RealLesion, voxel: np.ndarray, method: str) -> np.ndarray:
    """(i, j, k) bool of one method from one click."""
    volume = lesion.volume
    position = volume.to_world(voxel)
    if method in METHODS:
        return METHODS[method](volume, position)
    ras = volume.to_ras()
    index = ras.to_index(position)
    if method == OURS:
        contour = lesion_at(ras, index)
    else:
        truth = volume.with_array(lesion.truth).to_ras().array
        contour = max(
            contours(ras, index, CLICK_SD_MM),
            key=lambda c: 2 * (c.inside & truth[c.window]).sum() / (c.inside.sum() + truth.sum()),
            default=None,
        )
    mask = np.zeros(volume.shape, dtype=bool)
    if contour is not None:
        # A view of the mask along the axes of the RAS scan.
        volume.with_array(mask).to_ras().array[contour.window] = contour.inside
    return mask


def table(found: Sequence[Outcome], of: str) -> str:
    """Markdown: a row for each `of` ("lesion" or "group"): mean Dice by method, what ours measures and holds."""
    methods = list(dict.fromkeys(one.method for one in found))
    lines = [f"| {of} | ml | {' | '.join(methods)} | ours: volume ratio | holds the click % |"]
    lines.append("|" + " --- |" * (len(methods) + 4))
    for name in dict.fromkeys(getattr(one, of) for one in found):
        own = [one for one in found if getattr(one, of) == name]
        dice = [f"{np.mean([one.dice for one in own if one.method == m]):.2f}" for m in methods]
        ours = [one for one in own if one.method == OURS]
        ml = f"{np.median([one.ml for one in own]):.1f}"
        ratio = f"{np.median([one.volume_ratio for one in ours]):.2f}" if ours else "–"
        holds = f"{100 * np.mean([one.holds for one in ours]):.0f}" if ours else "–"
        lines.append(f"| {name} | {ml} | {' | '.join(dice)} | {ratio} | {holds} |")
    return "\n".join(lines)


def draw_failures(lesions: Sequence[RealLesion], found: Sequence[Outcome], path: Path) -> None:
    """Write a figure of the worst click of each kind of failure; none where nothing failed."""
    from benchmarks.real.failures import KINDS, drawn  # matplotlib

    by_name = {lesion.name: lesion for lesion in lesions}
    rows = []
    for kind, is_one in KINDS.items():
        failed = [one for one in found if one.method == OURS and is_one(one.dice, one.volume_ratio)]
        if failed:
            worst = min(failed, key=lambda one: one.dice)
            lesion = by_name[worst.lesion]
            click = lesion.clicks()[worst.click]
            title = f"{kind} ({len(failed)} clicks): {worst.lesion}, {worst.ml} ml, Dice {worst.dice:.2f}"
            rows.append((title, lesion, click, mask_of(lesion, click, OURS)))
    if rows:
        drawn(rows, path)


def main() -> None:
    """Print the tables, write the JSON and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every outcome")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="a picture of the worst of each kind of failure")
    parser.add_argument("--methods", nargs="*", default=ALL, choices=ALL)
    given = parser.parse_args()
    lesions = list(real_lesions(given.folder))
    found = [one for lesion in tqdm(lesions, unit="lesion", disable=None) for one in outcomes(lesion, given.methods)]
    print(table(found, "lesion"), "", table(found, "group"), sep="\n")
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    if given.figure:
        draw_failures(lesions, found, given.figure)


if __name__ == "__main__":
    main()
