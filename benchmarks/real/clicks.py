"""One click on real lesions (python -m benchmarks.real.clicks DIR): ours, what else is used, and what is possible."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.real.baselines import METHODS
from wslpet.core.volume import Volume
from wslpet.data.real_lesions import RealLesion, real_lesions
from wslpet.method.delineation.contours import REACHES_MM, Contour, Found, within
from wslpet.method.delineation.features import FEATURES, by_rule
from wslpet.method.inference.localisation import CLICK_SD_MM, lesion_at

OURS, RULE, BEST = "ours", "simple rule", "best candidate"
ALL = (OURS, RULE, *METHODS, BEST)
JUDGED = 20


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
    elif method == RULE:
        contour = _by_rule(ras, index)
    else:
        contour = _best(ras, index, volume.with_array(lesion.truth).to_ras().array)
    mask = np.zeros(volume.shape, dtype=bool)
    if contour is not None:
        # A view of the mask along the axes of the RAS scan.
        volume.with_array(mask).to_ras().array[contour.window] = contour.inside
    return mask


def _by_rule(ras: Volume, index: np.ndarray) -> Contour | None:
    """Take the contour of the simple rule, in the first box that does not cut it off."""
    contour = None
    for found in _boxes(ras, index):
        number = by_rule(found.features)
        contour = contour if number is None else found.contour(number)
        if number is not None and not found.features[number, FEATURES.index("touches_box")]:
            break
    return contour


def _best(ras: Volume, index: np.ndarray, truth: np.ndarray) -> Contour | None:
    """Take the best candidate in any box.

    `Found.dice` ranks them, on averaged voxels in a large box and with holes open; the first `JUDGED` are judged as
    they are drawn.
    """
    best = [
        found.contour(int(number))
        for found in _boxes(ras, index)
        if len(found.features)
        for number in np.argsort(-found.dice(truth))[:JUDGED]
    ]
    return max(best, key=lambda contour: _dice(contour, truth), default=None)


def _dice(contour: Contour, truth: np.ndarray) -> float:
    both = (contour.inside & truth[contour.window]).sum()
    return float(2 * both / (contour.inside.sum() + truth.sum()))


def _boxes(ras: Volume, index: np.ndarray) -> Iterator[Found]:
    return (within(ras, index, CLICK_SD_MM, reach_mm) for reach_mm in REACHES_MM)


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
    args = parser.parse_args()
    lesions = list(real_lesions(args.folder))
    found = [one for lesion in tqdm(lesions, unit="lesion", disable=None) for one in outcomes(lesion, args.methods)]
    print(table(found, "lesion"), "", table(found, "group"), sep="\n")
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    if args.figure:
        draw_failures(lesions, found, args.figure)


if __name__ == "__main__":
    main()
