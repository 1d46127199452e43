"""The shipped weights: a large phantom cohort, clicks and types only (python -m lib.pretraining)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lib.examples import Augmentation, Example, load_example, prepare, save_example
from lib.model import Model, best_device, load_model, save_model
from lib.phantom import PRESETS, make_patient
from lib.settings import Settings, settings_from
from lib.training import EpochReport, train

# First phantom seed of the training cohort; tests and measurements use seeds below it.
FIRST_SEED = 100_000
MIMICS_SEED = 200_000
# Twelve hundred patients need less augmentation than forty.
MILD = Augmentation(zoom=0.12, gain=0.25, jitter_mm=2.0, partial=0.3, noise=0.05)


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
    """Draw the cohorts, train in two stages, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1200, help="of the first stage; the second adds half as many")
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 8), help="of the two stages")
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--out", type=Path, default=Path("model/pretrained_wslpet.pt"))
    parser.add_argument("--start", type=Path, help="weights of a first stage that is done")
    options = parser.parse_args()
    first, second = (
        settings_from(epochs=epochs, patience=epochs, batch_size=16, learning_rate=3e-3, validation=0.1)
        for epochs in options.epochs
    )
    examples = phantom_examples(range(FIRST_SEED, FIRST_SEED + options.patients), "train", first, options.cache)
    if options.start is None:
        model = _stage(examples, replace(first, dropout=0.0), None, MILD)
        save_model(model, options.out)  # a long way: keep what is reached
    else:
        model = load_model(options.start)
    seeds = range(MIMICS_SEED, MIMICS_SEED + options.patients // 2)
    examples += phantom_examples(seeds, "train-mimics", second, options.cache)
    model = _stage(examples, second, model, Augmentation())
    save_model(model, options.out)
    print(f"{options.out}: version {model.version}, {model.history['best']}")


def _stage(examples: list[Example], settings: Settings, initial: Model | None, how: Augmentation) -> Model:
    with tqdm(total=settings.epochs, desc="epochs") as bar:

        def report(latest: EpochReport) -> bool:
            bar.update()
            figures = {"val": latest.val_loss, "hit": latest.seed_hit, "type": latest.type_accuracy}
            bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()})
            return False

        return train(examples, settings, initial, best_device(), report, how).model


if __name__ == "__main__":
    main()
