"""The shipped weights: a large phantom cohort, clicks and types only (python -m lib.pretraining)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lib.examples import Example, load_example, prepare, save_example
from lib.model import best_device, save_model
from lib.phantom import PRESETS, make_patient
from lib.settings import Settings, settings_from
from lib.training import EpochReport, train

# Preset → its first phantom seed; tests and measurements use seeds below them.
FIRST_SEED = {"train": 100_000, "train-mimics": 200_000}


def phantom_example(seed: int, preset: str, settings: Settings, cache: Path) -> Example:
    """One phantom patient as an example, drawn once and then read from the cache."""
    path = cache / f"{preset}-{seed}-{settings.grid_mm:g}mm.npz"
    if not path.exists():
        patient = make_patient(seed, PRESETS[preset])
        save_example(prepare(patient.volume, patient.seed, settings), path)
    return load_example(path)


def phantom_examples(
    seeds: Sequence[int], preset: str, settings: Settings, cache: Path, workers: int = os.cpu_count() or 1
) -> list[Example]:
    """Phantom patients of a preset, drawn in parallel."""
    cache.mkdir(parents=True, exist_ok=True)
    draw = partial(phantom_example, preset=preset, settings=settings, cache=cache)
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(draw, seeds, chunksize=4), total=len(seeds), desc=f"{preset} phantoms"))


def main() -> None:
    """Draw the cohort, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=4000, help="half of them rich in benign uptake")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--out", type=Path, default=Path("model/pretrained_wslpet.pt"))
    options = parser.parse_args()
    settings = settings_from(
        epochs=options.epochs, patience=options.epochs, batch_size=16, learning_rate=3e-3, validation=0.1
    )
    examples = []
    for preset, first in FIRST_SEED.items():
        seeds = range(first, first + options.patients // len(FIRST_SEED))
        examples += phantom_examples(seeds, preset, settings, options.cache)
    with tqdm(total=settings.epochs, desc="epochs") as bar:

        def report(latest: EpochReport) -> bool:
            bar.update()
            figures = {"val": latest.val_loss, "hit": latest.seed_hit, "type": latest.type_accuracy}
            bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()})
            return False

        model = train(examples, settings, device=best_device(), report=report).model
    save_model(model, options.out)
    print(f"{options.out}: version {model.version}, {model.history['best']}")


if __name__ == "__main__":
    main()
