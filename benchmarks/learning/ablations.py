"""What each part of learning on site brings on phantoms: `python -m benchmarks.learning.ablations`.

Models learn from scratch from a click on each of 40 phantoms, each without one part, and find the lesions of 40 others
without a click. Over repeated trainings, each with a random seed of its own, a patient's figure is the mean. Presets
are those of the end-to-end benchmark, and "several": hard phantoms with 2 to 12 lesions, of which one is clicked. Parts
that only the learning on MIPs has (atlas, guard, implants) are measured on real people, by `benchmarks.real.mips`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.common.cohorts import COHORT_SEEDS, Case, drawn
from benchmarks.learning.lesions import MOST_LESIONS
from wslpet.analysis.overlap import Agreement, agreement
from wslpet.analysis.statistics import bootstrap, paired_p
from wslpet.core.arrays import Array
from wslpet.core.seeds import Seed, annotation_of
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS
from wslpet.data.phantom.several import patient_with
from wslpet.io.readers import read_volume
from wslpet.method.inference.finding.maps import ANGLES
from wslpet.method.inference.pipeline import find_lesions, find_primary
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.network.inputs import Example, prepare
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample, LesionMip, clicked_mips
from wslpet.method.segmentation.volumes.site import with_segmenter
from wslpet.method.segmentation.volumes.training import KEPT
from wslpet.method.training.trainer import train

UNSEEN, TAUGHT = 40, 40
PAPER_VIEWS = ANGLES.index(0.0), ANGLES.index(90.0)
SEVERAL, FIRST_SEED = "several", 7_400_000
QUANTITIES = ("detected", "dice", "false_positive_ml", "type_right")


@dataclass(frozen=True, eq=False)
class Person:
    """A phantom. seed : on the primary. read : gives the scan, and the mask (i, j, k) of all lesions."""

    name: str
    seed: Seed
    read: Callable[[], tuple[Volume, Array]]


@dataclass(frozen=True, eq=False)
class Site:
    """What the clicked people teach: the CAM network, and the segmenter."""

    cam: list[Example]
    lesions: list[LesionExample]


@dataclass(frozen=True)
class Variant:
    """Learning on site without one part.

    Parameters
    ----------
    settings : of the training, that differ from the default.
    lesson : of each MIP that teaches the segmenter.
    views : numbers of the MIPs that teach the segmenter.
    start : of the segmenter; None is the shipped one.
    kept : weight of the start's answer where nobody clicked.
    find : what finds the lesions.
    """

    settings: dict[str, Any]
    lesson: Callable[[LesionMip], LesionMip] = lambda mip: mip
    views: tuple[int, ...] = tuple(range(len(ANGLES)))
    start: Callable[[], CoarseNet | None] = lambda: None
    kept: float = KEPT
    find: Callable[..., Any] = find_lesions


def _nothing_unknown(mip: LesionMip) -> LesionMip:
    return replace(mip, unknown=np.zeros_like(mip.unknown))


VARIANTS = {
    "all parts": Variant({}),
    "without the distance loss": Variant({"distance": "off"}),
    "the CAM network alone, without the segmenter": Variant({"segmenter_steps": 0}, find=find_primary),
    "the CAM network alone, without the distance loss": Variant(
        {"segmenter_steps": 0, "distance": "off"}, find=find_primary
    ),
    "the segmenter learns nothing on site": Variant({"segmenter_steps": 0}),
    "the segmenter starts from scratch": Variant({}, start=CoarseNet, kept=0.0),
    "where nobody clicked, the answer is not kept": Variant({}, kept=0.0),
    "what nobody clicked is background": Variant({}, lesson=_nothing_unknown),
    "the segmenter learns from two MIPs": Variant({}, views=PAPER_VIEWS),
}


def learned(variant: Variant, site: Site, seed: int) -> Model:
    """A model that learned from scratch; a share of the patients judges it on a server, and teaches nothing here."""
    settings = replace(Settings(), random_seed=seed, **variant.settings)
    torch.manual_seed(seed)
    lessons = [
        replace(one, mips=tuple(variant.lesson(one.mips[n]) for n in variant.views if one.mips)) for one in site.lesions
    ]
    network = _cam_network(settings.distance, seed, tuple(site.cam))
    return with_segmenter(
        replace(network, settings=settings),
        lessons,
        settings.validation,
        variant.start(),
        best_device(),
        kept=variant.kept,
    )


@lru_cache
def _cam_network(distance: str, seed: int, examples: tuple[Example, ...]) -> Model:
    """The CAM network, which only its own settings change."""
    settings = replace(Settings(), distance=distance, random_seed=seed)
    return train(examples, settings, None, best_device(), judging=settings.validation).model


def judged(find: Callable[..., Any], model: Model, people: Sequence[Person]) -> list[Agreement]:
    """What a model finds in people from whom it has not learned."""
    rows = []
    for person in people:
        volume, truth = person.read()
        result = find(volume, model)
        right = result.cancer_type == person.seed.cancer_type
        rows.append(agreement(result.mask.array, truth, volume.voxel_ml, right))
    return rows


def site_of(people: Sequence[Person]) -> Site:
    """Prepare the clicked people."""
    site = Site([], [])
    for person in tqdm(people, desc="prepare", disable=None):
        volume, _ = person.read()
        site.cam.append(replace(prepare(volume, person.seed, Settings()), name=person.name, patient_id=person.name))
        mips = clicked_mips(volume.to_ras(), annotation_of(person.seed))
        site.lesions.append(LesionExample(mips, person.seed.cancer_type, person.name))
    return site


def drawn_people(preset: str, folder: Path) -> list[Person]:
    """The unseen people, then those who are clicked."""
    if preset == SEVERAL:
        return [_with_several(number) for number in range(UNSEEN + TAUGHT)]
    return [
        Person(case.name, Seed(case.cancer_type, case.position), partial(_read, case))
        for case in drawn(folder / preset, preset, UNSEEN + TAUGHT)
    ]


def _read(case: Case) -> tuple[Volume, Array]:
    return read_volume(case.scan), case.true_mask().array


def _with_several(number: int) -> Person:
    phantom = patient_with(2 + number % (MOST_LESIONS - 1), FIRST_SEED + number, PRESETS["hard"])
    x, y, z = phantom.clicks[0].tolist()
    return Person(
        f"{SEVERAL}-{number}", Seed(phantom.cancer_type, (x, y, z)), lambda: (phantom.volume, phantom.lesions)
    )


def table(figures: dict[str, list[list[dict[str, Any]]]]) -> str:
    """Figures of each variant and repeat → a table; p is of the Dice, against all parts."""
    means = {
        name: {quantity: _of_patients(runs, quantity) for quantity in QUANTITIES} for name, runs in figures.items()
    }
    lines = ["| | detected | Dice | beyond, ml | type right | p |", "| --- " * 6 + "|"]
    for name, of in means.items():
        dice = bootstrap(of["dice"])
        p = "" if name == "all parts" else f"{paired_p(means['all parts']['dice'], of['dice']):.2g}"
        lines.append(
            f"| {name} | {of['detected'].mean():.0%} | {dice.value:.2f} [{dice.low:.2f}–{dice.high:.2f}] | "
            f"{of['false_positive_ml'].mean():.1f} | {of['type_right'].mean():.0%} | {p} |"
        )
    return "\n".join(lines)


def _of_patients(runs: list[list[dict[str, Any]]], quantity: str) -> Array:
    """(patient,) mean over repeats."""
    means: Array = np.array([[float(row[quantity]) for row in run] for run in runs]).mean(axis=0)
    return means


def main() -> None:
    """Learn, judge, print; what was judged is kept, so that a run that was stopped goes on."""
    parser = argparse.ArgumentParser("python -m benchmarks.learning.ablations", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=(*COHORT_SEEDS, SEVERAL), default="hard")
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--folder", type=Path, default=Path("work/ablations"), help="for phantoms, and what was judged")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    people = drawn_people(args.preset, args.folder)
    file = args.folder / f"{args.preset}.json"
    figures = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    prepared = lru_cache(partial(site_of, people[UNSEEN:]))
    jobs = [(seed, name) for seed in range(args.repeats) for name in VARIANTS]
    for seed, name in tqdm(jobs, desc="trainings", disable=None):
        runs = figures.setdefault(name, [])
        if len(runs) <= seed:
            model = learned(VARIANTS[name], prepared(), seed)
            runs.append([asdict(row) for row in judged(VARIANTS[name].find, model, people[:UNSEEN])])
            file.write_text(json.dumps(figures, default=bool) + "\n", encoding="utf-8")
    print(table({name: runs[: args.repeats] for name, runs in figures.items()}))


if __name__ == "__main__":
    main()
