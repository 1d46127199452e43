"""Configuration of the GPU benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.cohorts import COHORT_SEEDS
from benchmarks.speed import usual
from benchmarks.speed.scans import SIZES, Sized, written
from wslpet.core.limits import CORES
from wslpet.core.settings import Settings
from wslpet.data.phantom.cohort import SEEDS_PER_COHORT
from wslpet.data.pretraining.weights import phantom_examples
from wslpet.method.network.inputs import Example

# The patients of `benchmarks.training` whom it clicks on: the cohort's first are others, for it to find.
FIRST_PATIENT = COHORT_SEEDS["plain"] * SEEDS_PER_COHORT + 40


@dataclass(frozen=True)
class Config:
    """The benchmark's configuration.

    Parameters
    ----------
    folder : for phantoms. device : the GPU, as torch calls it.
    sizes : scans, the smallest first. patients : numbers of them to learn from.
    repeat, repeat_usual : runs of each step and of the usual way, after one that warms up.
    usual_mm : voxel size of the usual way.
    """

    folder: Path
    device: str
    sizes: tuple[Sized, ...]
    patients: tuple[int, ...]
    settings: Settings
    repeat: int
    repeat_usual: int
    usual_mm: float

    def scan(self, size: Sized) -> Path:
        path = self.folder / f"{size.name}.nii.gz"
        if not path.exists():
            unfinished = self.folder / "unfinished" / path.name
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            written(unfinished.parent, size)
            os.replace(unfinished, path)
        return path

    def examples(self, n: int) -> list[Example]:
        seeds = range(FIRST_PATIENT, FIRST_PATIENT + n)
        return phantom_examples(seeds, "plain", self.settings, self.folder / "phantoms", CORES)


QUICK = {
    "sizes": (Sized("small", (64, 64, 120)), Sized("smaller", (60, 60, 90))),
    "patients": (12, 16),
    "settings": Settings(epochs=3),
    "repeat": 2,
    "repeat_usual": 0,
    "usual_mm": 8.0,
}
WHOLE = {
    "sizes": SIZES,
    "patients": (40, 200),
    "settings": Settings(),
    "repeat": 7,
    "repeat_usual": 2,
    "usual_mm": usual.SPACING_MM,
}
