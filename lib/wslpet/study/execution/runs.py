"""A run: one system fitted and tested on one fold, saved atomically as a folder.

The folder is `<study>/runs/<system>/fold-1/` (of the learning curve, `fold-1-of-20/`):

    patients.csv    one row a patient: agreement with the expert's mask, type, probability of the good outcome
    features.csv    radiomics of the predicted masks, where outcome is predicted from them
    masks.npz       the predicted masks
    model.pt        the network with CAMs, where the system has one
    log.txt         the training log; `fold-1.log` beside the folder while the run is executed
"""

from __future__ import annotations

import csv
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from wslpet.analysis.overlap import Agreement, agreement, hd95
from wslpet.analysis.radiomics import catalogue, radiomics
from wslpet.analysis.uptake import measure, surroundings
from wslpet.core.arrays import Array, BoolArray
from wslpet.core.volume import Volume
from wslpet.method.network.checkpoint import save_model
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import Prediction, Report, System


@dataclass(frozen=True, order=True)
class Run:
    """One system on one fold.

    Parameters
    ----------
    system : its name.
    fold : from 0.
    annotated : number of training patients; 0 is all of the other folds.
    """

    system: str
    fold: int
    annotated: int = 0

    @property
    def place(self) -> Path:
        """In the study's folder."""
        end = f"-of-{self.annotated}" if self.annotated else ""
        return Path("runs") / self.system / f"fold-{self.fold + 1}{end}"


@dataclass(frozen=True)
class Measured:
    """Metrics of one system on one test patient.

    Parameters
    ----------
    name, cancer_type : of the patient.
    predicted : the predicted cancer type; empty if the system predicts none.
    dice, hd95_mm, detected, detected_strictly, false_positive_ml, false_negative_ml : against the expert's mask; NaN
        (False) where the system was given that mask, or uses the mask of another system.
    localisation_rate : whether the seed's voxel is in the mask.
    good : predicted probability of the good outcome; NaN if the system predicts none by itself.
    seconds : inference time without reading the scan.
    """

    name: str
    cancer_type: str
    predicted: str
    dice: float
    hd95_mm: float
    detected: bool
    detected_strictly: bool
    false_positive_ml: float
    false_negative_ml: float
    localisation_rate: bool
    good: float
    seconds: float


def is_kept(run: Run, folder: Path) -> bool:
    """Whether a run is done."""
    return (folder / run.place / "patients.csv").exists()


def execute(
    run: Run,
    system: System,
    train_patients: Sequence[Patient],
    test_patients: Sequence[Patient],
    plan: Plan,
    folder: Path,
    report: Report,
) -> None:
    """Fit a system to the training patients, test it on the test patients, and save the run.

    Parameters
    ----------
    folder : of the study.
    report : called with the share of the run that is done, and a line for the log.
    """
    final = folder / run.place
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    live = final.with_name(f"{final.name}.log")
    with open(live, "w", encoding="utf-8", buffering=1) as file:
        log = _Log(file, report)
        sizes = f"{len(train_patients)} patients to learn from, {len(test_patients)} to find"
        log(0.0, f"{system.title}, fold {run.fold + 1}: {sizes}")
        learned = system.learn(train_patients, plan, lambda share, line: log(share * 0.8, line))
        if learned.model is not None:
            save_model(learned.model, part / "model.pt")
        measured, features, masks = [], {}, {}
        for number, patient in enumerate(test_patients, start=1):
            volume, start = patient.volume(), time.perf_counter()
            found = learned.find(patient, volume)
            one = _measured(patient, volume, system, found, time.perf_counter() - start)
            measured.append(one)
            masks[patient.row.number] = found.mask
            if system.features != () and not run.annotated:
                features[patient.name] = features_of(volume, found.mask, system.features)
            log(
                0.8 + 0.2 * number / len(test_patients),
                f"{one.name}: Dice {one.dice:.3f}, {one.predicted or 'no type'}",
            )
        _write_masks(part / "masks.npz", masks)
        if features:
            _write_csv(part / "features.csv", [{"name": name, **row} for name, row in features.items()])
        log(1.0, f"mean Dice {np.mean([one.dice for one in measured]):.3f}")
    os.replace(live, part / "log.txt")
    # Written last: a folder with this file is complete.
    _write_csv(part / "patients.csv", [asdict(one) for one in measured])
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)


class _Log:
    def __init__(self, file: TextIO, report: Report) -> None:
        self._file, self._report = file, report

    def __call__(self, share: float, line: str) -> None:
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self._report(share, line)


def _measured(patient: Patient, volume: Volume, system: System, found: Prediction, seconds: float) -> Measured:
    agrees, far = Agreement(math.nan, False, False, math.nan, math.nan), math.nan
    if system.segments:
        truth = patient.truth(volume)
        agrees, far = agreement(found.mask, truth, volume.voxel_ml), hd95(found.mask, truth, volume.spacing)
    click = np.rint(volume.to_index(np.array(patient.row.seed.position))).astype(int)
    return Measured(
        patient.name,
        patient.cancer_type,
        found.cancer_type or "",
        agrees.dice,
        far,
        agrees.detected,
        agrees.detected_strictly,
        agrees.false_positive_ml,
        agrees.false_negative_ml,
        bool(found.mask[tuple(np.clip(click, 0, np.array(volume.shape) - 1))]),
        math.nan if found.good is None else found.good,
        seconds,
    )


def features_of(volume: Volume, inside: BoolArray, names: tuple[str, ...] | None = None) -> dict[str, float]:
    """Radiomics of a mask, all or some; NaN where nothing is inside, or too little for a feature."""
    names = tuple(catalogue()) if names is None else names
    if not inside.any():
        return dict.fromkeys(names, math.nan)
    simple = measure(*surroundings(volume, inside))
    if set(names) <= set(simple):
        return {name: simple[name] for name in names}
    values = radiomics(volume, inside, strict=False)
    return {name: values[name] for name in names}


def measured_in(run: Run, folder: Path) -> list[Measured]:
    """The metrics of a run, one entry for each patient."""
    kinds = {field.name: _READ[str(field.type)] for field in fields(Measured)}
    return [
        Measured(**{k: kinds[k](v) for k, v in row.items()}) for row in _read_csv(folder / run.place / "patients.csv")
    ]


def features_in(run: Run, folder: Path) -> dict[str, dict[str, float]]:
    """Patient → feature → value."""
    rows = _read_csv(folder / run.place / "features.csv")
    return {row.pop("name"): {name: float(value) for name, value in row.items()} for row in rows}


def mask_in(run: Run, folder: Path, patient: Patient, volume: Volume) -> Array:
    """(i, j, k) bool: the mask that a run predicted for a patient."""
    inside = np.zeros(volume.shape, dtype=bool)
    with np.load(folder / run.place / "masks.npz") as file:
        bits, start, shape = (file[f"{patient.row.number}-{part}"] for part in ("bits", "start", "shape"))
    window = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    inside[window] = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape) > 0
    return inside


def _write_masks(path: Path, masks: dict[int, Array]) -> None:
    arrays: dict[str, Any] = {}
    for number, mask in masks.items():
        found = np.argwhere(mask)
        low, high = (found.min(axis=0), found.max(axis=0) + 1) if len(found) else (np.zeros(3, int), np.zeros(3, int))
        part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        arrays |= {f"{number}-bits": np.packbits(part), f"{number}-start": low, f"{number}-shape": np.array(part.shape)}
    np.savez_compressed(path, **arrays)


_READ: dict[str, Any] = {"str": str, "float": float, "bool": lambda text: text == "True"}


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(row) for row in rows)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.7g}") if isinstance(value, float) else value for key, value in row.items()}


def _read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def all_runs(systems: Iterable[System], plan: Plan, curve: Sequence[str], trained_on: int) -> Iterator[Run]:
    """Every run of a study, whole folds first; learning-curve sizes beyond the training set are left out.

    The most expensive system of a fold comes first, so that no long run is left over at the end.
    """
    systems = sorted(systems, key=lambda system: -system.cost)
    for fold in range(plan.folds):
        for system in systems:
            yield Run(system.name, fold)
    for fold in range(min(plan.curve_folds, plan.folds)):
        for size in plan.curve:
            for system in systems:
                if system.name in curve and size < trained_on:
                    yield Run(system.name, fold, size)
