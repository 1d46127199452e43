"""Training time, and the accuracy after longer training: `python -m benchmarks.learning`.

Models are trained from scratch over HTTP on clicked phantoms, and evaluated on phantoms without a click. The same
patients are trained on for ten times as many epochs. Epochs over more and more patients are timed; for these, phantoms
are repeated.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common.cohorts import COHORT_SEEDS, Case, drawn, stage
from benchmarks.common.server import Server
from benchmarks.speed.report import machine
from wslpet.analysis.overlap import agreement
from wslpet.core.seeds import Seed
from wslpet.core.settings import Settings
from wslpet.io.readers import read_volume
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.network.checkpoint import Model, best_device, load_model
from wslpet.method.network.inputs import Example, prepare
from wslpet.method.training.trainer import EpochReport, train

UNSEEN, TAUGHT, MANY = 40, 40, 200
LONGER = 10
SIZES = (50, 200, 800, 2000)
MOST_SECONDS = {TAUGHT: 180, MANY: 600}


@dataclass(frozen=True)
class Given:
    """folder: for phantoms and servers. preset: of the phantoms. out: of the figures."""

    folder: Path
    preset: str
    out: Path


def posted(args: Given) -> dict[str, Any]:
    """POST /train, from scratch, with few and with many patients."""
    return {str(n): _posted(args, n) for n in MOST_SECONDS}


def _posted(args: Given, n: int) -> dict[str, Any]:
    cases = drawn(args.folder / args.preset, args.preset, UNSEEN + n)
    folder = args.folder / f"{args.preset}-{n}"
    models = (folder / "models").resolve()
    shutil.rmtree(models, ignore_errors=True)
    conf = {"model_dir": str(models), "use_pretrained_model": "false"}
    with Server(stage(cases[UNSEEN:], folder / "studies"), folder / "server", conf) as server:
        for case in tqdm(cases[UNSEEN:], desc="clicks", disable=None):
            server.click(case.name, case.cancer_type, case.index)
        training = server.train({"from_scratch": True}, lambda stats: None)
    model = load_model(models / "wslpet.pt")
    return {"seconds": training.seconds, "epochs": model.history["epochs"], **_found(model, cases[:UNSEEN])}


def longer(args: Given) -> dict[str, Any]:
    """The same patients as the first of `posted`, with ten times as many epochs and no early stopping."""
    cases = drawn(args.folder / args.preset, args.preset, UNSEEN + TAUGHT)
    usual = Settings()
    settings = replace(usual, epochs=LONGER * usual.epochs, patience=LONGER * usual.epochs)
    examples = _examples(cases[UNSEEN:], settings)
    start = time.perf_counter()
    with tqdm(total=settings.epochs, desc="longer", unit="epoch", disable=None) as bar:
        trained = train(examples, settings, None, best_device(), _ticking(bar))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "epochs": settings.epochs, **_found(trained.model, cases[:UNSEEN])}


def flat(args: Given) -> dict[str, Any]:
    """Seconds of an epoch a patient, and the process's largest memory, by the number of patients."""
    settings = replace(Settings(), epochs=2, validation=0.0)
    known = _examples(drawn(args.folder / args.preset, args.preset, UNSEEN + TAUGHT), settings)
    found = {}
    for n in tqdm(SIZES, desc="numbers of patients", disable=None):
        examples = [_copy(known[i % len(known)], i) for i in range(n)]
        ends: list[float] = []
        train(examples, settings, None, best_device(), lambda epoch, ends=ends: ends.append(epoch.seconds) or False)  # type: ignore[misc]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found[str(n)] = {"seconds_per_patient": (ends[1] - ends[0]) / n, "peak_mb": peak}
    return found


def _copy(example: Example, number: int) -> Example:
    images = {view: image.copy() for view, image in example.images.items()}
    return replace(example, images=images, name=f"{example.name}-{number}")


def _examples(cases: Sequence[Case], settings: Settings) -> list[Example]:
    return [
        prepare(read_volume(case.scan), Seed(case.cancer_type, case.position), settings)
        for case in tqdm(cases, desc="prepare", disable=None)
    ]


def _ticking(bar: tqdm) -> Callable[[EpochReport], bool]:
    def tick(epoch: EpochReport) -> bool:
        bar.update()
        return False

    return tick


def _found(model: Model, cases: Sequence[Case]) -> dict[str, float]:
    agreements = []
    for case in tqdm(cases, desc="unseen patients", disable=None):
        result, truth = find_lesions(read_volume(case.scan), model), case.true_mask()
        right = result.cancer_type == case.cancer_type
        agreements.append(agreement(result.mask.array, truth.array, truth.voxel_ml, right))
    return {
        "dice": float(np.mean([one.dice for one in agreements])),
        "detected": float(np.mean([one.detected for one in agreements])),
        "type_right": float(np.mean([bool(one.type_right) for one in agreements])),
    }


STEPS: dict[str, Callable[[Given], dict[str, Any]]] = {"posted": posted, "longer": longer, "flat": flat}


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.learning", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("work/training"))
    parser.add_argument("--preset", choices=COHORT_SEEDS, default="plain")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="default: all")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="training.md and .json")
    options = parser.parse_args()
    args = Given(options.folder, options.preset, options.out)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "training.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for step in options.steps:
        results.setdefault(args.preset, {})[step] = {"machine": machine(), "figures": STEPS[step](args)}
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (args.out / "training.md").write_text(_text(results), encoding="utf-8")
    print(_text(results))


def _text(results: dict[str, Any]) -> str:
    lines = ["# Learning, on phantom patients"]
    for preset, steps in results.items():
        lines += ["", f"## {preset} phantoms, judged on {UNSEEN} that nobody clicked on"]
        runs = [(f"POST /train, {n} patients", run) for n, run in _figures(steps, "posted").items()]
        if "longer" in steps:
            runs.append((f"{TAUGHT} patients, {LONGER} × as many epochs", _figures(steps, "longer")))
        if runs:
            lines += ["", "| from scratch | seconds | epochs | detected | Dice | type right |", "| --- " * 6 + "|"]
        lines += [
            f"| {name} | {run['seconds']:.0f} | {run['epochs']} | {run['detected']:.1%} | {run['dice']:.3f} | "
            f"{run['type_right']:.1%} |"
            for name, run in runs
        ]
        if "flat" in steps:
            lines += ["", "| patients | ms a patient and epoch | peak memory, MB |", "| --- " * 3 + "|"]
        lines += [
            f"| {n} | {1000 * run['seconds_per_patient']:.1f} | {run['peak_mb']:.0f} |"
            for n, run in _figures(steps, "flat").items()
        ]
        lines += ["", *(f"{name}: {step['machine']}" for name, step in steps.items())]
    return "\n".join([*lines, ""])


def _figures(steps: dict[str, Any], name: str) -> dict[str, Any]:
    return steps[name]["figures"] if name in steps else {}


if __name__ == "__main__":
    main()
