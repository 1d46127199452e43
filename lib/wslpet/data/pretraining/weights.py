"""Train the shipped weights on phantoms with seeds only (python -m wslpet.data.pretraining.weights)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from wslpet.core.settings import Settings, settings_from
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.network.checkpoint import Model, best_device, load_model, save_model
from wslpet.method.network.inputs import Example, load_example, prepare, save_example
from wslpet.method.training.augmentation import Augmentation
from wslpet.method.training.trainer import EpochReport, train

# Preset → its first random seed of a phantom; tests and measurements use smaller ones.
FIRST_SEED = {"train": 100_000, "train-mimics": 200_000}


@dataclass(frozen=True)
class Stage:
    """A stage of the training. Each stage starts from the weights of the stage before.

    Parameters
    ----------
    cohort : preset → patient numbers, counted from `FIRST_SEED`.
    epochs, dropout, augmentation : as in `Settings` and `train`.
    """

    cohort: Mapping[str, range]
    epochs: int
    dropout: float = Settings.dropout
    augmentation: Augmentation = field(default_factory=Augmentation)


# A curriculum: each stage has more of the benign uptake that mimics tumours.
STAGES = (
    Stage({"train": range(1200)}, 30, 0.0, Augmentation(zoom=0.12, gain=0.25, jitter_mm=2.0, partial=0.3, noise=0.05)),
    Stage({"train": range(1200), "train-mimics": range(600)}, 8),
    Stage({"train": range(350), "train-mimics": range(1800)}, 8),
)


def phantom_example(seed: int, preset: str, settings: Settings, cache: Path) -> Example:
    """One phantom patient as an example, generated once and then read from the cache."""
    path = cache / f"{preset}-{seed}-{settings.grid_mm:g}mm.npz"
    if not path.exists():
        patient = make_patient(seed, PRESETS[preset])
        save_example(prepare(patient.volume, patient.seed, settings), path)
    return load_example(path)


def phantom_examples(
    seeds: Sequence[int], preset: str, settings: Settings, cache: Path, workers: int = os.cpu_count() or 1
) -> list[Example]:
    """Phantom patients of a preset, generated in parallel."""
    cache.mkdir(parents=True, exist_ok=True)
    draw = partial(phantom_example, preset=preset, settings=settings, cache=cache)
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(draw, seeds, chunksize=4), total=len(seeds), desc=f"{preset} phantoms"))


def main() -> None:
    """Generate the cohorts, train stage by stage, write the weights after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, nargs="+", choices=range(1, len(STAGES) + 1), metavar="N")
    parser.add_argument("--start", type=Path, help="weights of the stage before the first of these")
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--out", type=Path, default=Path("model/pretrained_wslpet.pt"))
    options = parser.parse_args()
    model = None if options.start is None else load_model(options.start)
    for number in options.stages or range(1, len(STAGES) + 1):
        model = _trained(STAGES[number - 1], model, options.cache)
        save_model(model, options.out)
        print(f"{options.out}: stage {number}, version {model.version}, {model.history['best']}")


def _trained(stage: Stage, initial: Model | None, cache: Path) -> Model:
    settings = settings_from(
        epochs=stage.epochs,
        patience=stage.epochs,
        batch_size=16,
        learning_rate=3e-3,
        validation=0.1,
        dropout=stage.dropout,
    )
    examples = []
    for preset, numbers in stage.cohort.items():
        seeds = [FIRST_SEED[preset] + n for n in numbers]
        examples += phantom_examples(seeds, preset, settings, cache)
    with tqdm(total=settings.epochs, desc="epochs") as bar:

        def report(latest: EpochReport) -> bool:
            bar.update()
            figures = {"val": latest.val_loss, "hit": latest.localisation_rate, "type": latest.type_accuracy}
            bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()})
            return False

        return train(examples, settings, initial, best_device(), report, stage.augmentation).model


if __name__ == "__main__":
    main()
