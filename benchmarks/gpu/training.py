"""Training time on a GPU against the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np

from benchmarks.gpu.report import CPU, GPU, HALF, Section, finish, peak_of
from wslpet.core.settings import Settings
from wslpet.method.network.inputs import Example
from wslpet.method.training.trainer import EpochReport, Trained, train

# What ends a training here; the default one is whole within it.
MOST_SECONDS = 75.0
# No room here for a whole training on the CPU, nor for each way of a large one.
FEW_EPOCHS = 15


def training_section(examples: Sequence[Example], settings: Settings, device: str, few: bool) -> Section:
    """From scratch. Of the CPU, two epochs; in half precision, all or, where asked, a few."""
    half = f"{GPU}, {HALF}"
    section = Section(f"Training on {len(examples)} patients", (CPU, GPU, half))
    epochs, wholes, of_half = {}, {}, FEW_EPOCHS if few else settings.epochs
    for way, on, most in ((CPU, "cpu", 2), (GPU, device, settings.epochs), (half, device, of_half)):
        with peak_of(section, way), section.guarded(way), _half_precision(way == half):
            start = time.perf_counter()
            trained = _trained(examples, settings, on, most)
            finish()
            epochs[way] = _seconds_of_epochs(trained)
            if most == settings.epochs:
                wholes[way] = [time.perf_counter() - start]
            _note_training(section, way, trained)
    section.add("epoch", epochs)
    section.add("training", wholes)
    return section


def _trained(examples: Sequence[Example], settings: Settings, device: str, most: int) -> Trained:
    """Until it ends, or for so many epochs, or until `MOST_SECONDS`."""

    def enough(epoch: EpochReport) -> bool:
        return epoch.epoch >= most or epoch.seconds > MOST_SECONDS

    return train(examples, settings, device=device, report=enough)


def _seconds_of_epochs(trained: Trained) -> list[float]:
    """Of all but the first, which warms up; validation included."""
    return np.diff([epoch.seconds for epoch in trained.epochs]).tolist()


def _note_training(section: Section, way: str, trained: Trained) -> None:
    last, best = trained.epochs[-1], trained.model.history["best"]
    section.note(
        f"{way}: {last.epoch} of {last.total_epochs} epochs in {last.seconds:.1f} s; best is epoch {best['epoch']}, "
        f"val_loss {best['val_loss']:.3f}, type_accuracy {best['type_accuracy']:.1%}, "
        f"localisation_rate {best['localisation_rate']:.1%}.",
        **{way: {"epochs": last.epoch, "seconds": last.seconds, "first_seconds": trained.epochs[0].seconds, **best}},
    )


@contextmanager
def _half_precision(on: bool) -> Iterator[None]:
    """Training in the half precision that it does not choose for itself."""
    if not on:
        yield
        return
    with mock.patch("wslpet.method.network.cam.use_bfloat16", lambda device: True):
        yield
