"""Stability of radiomics features under another annotator's click or another threshold (ICC)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.analysis.overlap import click_threshold
from wslpet.analysis.radiomics import catalogue
from wslpet.analysis.statistics import icc
from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.method.inference.pipeline import delineate
from wslpet.study.design.patients import Patient
from wslpet.study.design.study import Study
from wslpet.study.execution.runs import features_of

FILE = "stability.csv"
# A second and a third annotator, SD per axis of how far their clicks lie from the first one's; and the levels that the
# clinic uses.
JITTER_MM = 4.0
JITTERS = 2
SHARES = (0.37, 0.41, 0.45)
# Koo & Li 2016, J Chiropr Med 15:155.
GOOD, EXCELLENT = 0.75, 0.90


@dataclass(frozen=True)
class Stability:
    """ICC(2,1) of each feature, by what was varied ("seed", "threshold"), and the number of patients."""

    icc: dict[str, dict[str, float]]
    patients: int

    def share(self, moved: str, least: float) -> float:
        """Share of the features whose ICC is at least `least`."""
        return float(np.mean([value >= least for value in self.icc[moved].values()]))


def measured_stability(study: Study, progress: Callable[[int, int], Any] | None = None) -> Stability | None:
    """Measure the stability, or read it from disk; None if the plan has fewer than two patients for it."""
    chosen = study.patients[: study.plan.stability]
    if len(chosen) < 2:
        return None
    path = study.folder / FILE
    if not path.exists():
        rows = []
        for number, patient in enumerate(chosen, start=1):
            rows += _measured(patient, study.plan.types, study.plan.seed)
            if progress is not None:
                progress(number, len(chosen))
        temporary = path.with_name(f".{path.name}.part")
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)
    return _read(path, len(chosen))


def _measured(patient: Patient, types: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    volume, rows = patient.volume(), []
    rng = np.random.default_rng((seed, patient.row.number))
    clicks = [patient.row.seed, *(_moved(patient.row.seed, volume, rng) for _ in range(JITTERS))]
    settings = settings_from(types=types)
    for number, click in enumerate(clicks):
        mask = delineate(volume, click, settings=settings, checked=False).mask.array > 0
        rows.append({"name": patient.name, "moved": "seed", "rater": number, **features_of(volume, mask)})
    for number, share in enumerate(SHARES):
        mask = click_threshold(volume, np.array(patient.row.seed.position), share)
        rows.append({"name": patient.name, "moved": "threshold", "rater": number, **features_of(volume, mask)})
    return rows


def _moved(seed: Seed, volume: Volume, rng: np.random.Generator) -> Seed:
    index = volume.to_index(np.array(seed.position) + rng.normal(0, JITTER_MM, 3))
    inside = np.clip(index, 0, np.array(volume.shape) - 1)
    return Seed(seed.cancer_type, tuple(volume.to_world(inside).tolist()))


def _read(path: Path, patients: int) -> Stability:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len({row["name"] for row in rows}) != patients:
        raise InputError(f"{path} is of other patients; delete it and go on by --resume")
    found = {}
    for moved in ("seed", "threshold"):
        own = [row for row in rows if row["moved"] == moved]
        raters = len({row["rater"] for row in own})
        found[moved] = {
            name: icc(np.array([float(row[name]) for row in own]).reshape(-1, raters)) for name in catalogue()
        }
    return Stability(found, patients)
