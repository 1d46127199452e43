"""Training in several processes: two on the CPU learn what one does, and none outlives another's death."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch

import wslpet.method.network.cam
from wslpet.core.errors import InputError, SeedError, TrainingError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import Settings, settings_from
from wslpet.method.network.inputs import Example
from wslpet.method.training.augmentation import Augmentation
from wslpet.method.training.gpus import chosen, together, train_on
from wslpet.method.training.trainer import Trained, train

TWO = ["cpu", "cpu"]
# Of weights, which a dozen steps move by some 1e-2: sums in another order make 2e-7.
TOLERANCE = 1e-5
# Of 11 patients: batches of 5, which two do not divide, and one of a single patient, fewer than the processes.
SETTINGS = settings_from(
    widths=(8,) * 8, dropout=0.0, no_tumour=True, batch_size=5, epochs=4, learning_rate=3e-3, validation=0.0
)
CASES = {
    "likelihood": SETTINGS,
    "expected": replace(SETTINGS, distance="expected", pooling="average", distance_weight=3.0),
}


def patient(number: int) -> Example:
    """A spot on noise, of its own length; every third has no tumour and so no seed."""
    rng = np.random.default_rng(number)
    cancer_type = ("lung", "oesophagus", NO_TUMOUR)[number % 3]
    place = {"coronal": (10.0 + number, 20.0), "sagittal": (12.0, 20.0)}
    images = {}
    for view, (u, z) in place.items():
        grid = np.stack(np.meshgrid(np.arange(24), np.arange(40 + 2 * number), indexing="ij"), axis=-1)
        spot = 8 * np.exp(-((grid - [u, z]) ** 2).sum(axis=-1) / 8) * (cancer_type != NO_TUMOUR)
        images[view] = np.stack([1 + spot + rng.random(spot.shape), np.zeros_like(spot)]).astype(np.float32)
    return Example(images, None if cancer_type == NO_TUMOUR else place, cancer_type, f"case{number}")


PATIENTS = [patient(number) for number in range(11)]


def learn(settings: Settings, **where) -> Trained:
    return train(PATIENTS, settings, augmentation=Augmentation(), **where)


def learn_as_rank(ranks, device, ask) -> list[Trained]:
    wslpet.method.network.cam.use_bfloat16 = lambda device: False  # a process of its own
    return [learn(settings, ranks=ranks, device=device) for settings in CASES.values()]


@pytest.fixture(scope="module")
def of_two() -> dict[str, Trained]:
    return dict(zip(CASES, together(learn_as_rank, TWO, print), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(of_two, case, monkeypatch):
    monkeypatch.setattr(wslpet.method.network.cam, "use_bfloat16", lambda device: False)
    one, two = learn(CASES[case]), of_two[case]
    assert len(two.epochs) == len(one.epochs)
    for mine, theirs in zip(one.epochs, two.epochs, strict=True):
        assert asdict(replace(theirs, seconds=0)) == pytest.approx(asdict(replace(mine, seconds=0)), abs=TOLERANCE)
    theirs = two.model.network.state_dict()
    for name, tensor in one.model.network.state_dict().items():
        assert torch.allclose(theirs[name], tensor, rtol=0, atol=TOLERANCE), name


def test_the_caller_hears_of_each_epoch_and_can_end_it():
    heard = []
    start = train(PATIENTS, replace(SETTINGS, epochs=1)).model
    settings = replace(SETTINGS, dropout=0.2)
    trained = train_on(TWO, PATIENTS, settings, start, report=lambda epoch: heard.append(epoch) or epoch.epoch == 2)
    assert [epoch.epoch for epoch in heard] == [1, 2]
    assert [asdict(epoch) for epoch in trained.epochs] == [asdict(epoch) for epoch in heard]
    assert trained.model.version != start.version
    assert trained.initial == pytest.approx(train_on(["cpu"], PATIENTS, replace(settings, epochs=1), start).initial)


def fail(ranks, device, ask, how: str) -> None:
    """On rank 1, while rank 0 waits for it."""
    if ranks.rank == 1:
        if how == "dies":
            os._exit(3)
        raise SeedError("no seed here") if how == "refuses" else MemoryError("no room")
    time.sleep(60)


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("dies", TrainingError, r"training on 2 devices: the process of cpu failed \(.* exit code 3\)"),
        ("raises", TrainingError, r"failed \(MemoryError: no room\); train again"),
        ("refuses", SeedError, "no seed here"),
    ],
)
def test_one_that_fails_ends_all(how, kind, said):
    with pytest.raises(kind, match=said):
        together(partial(fail, how=how), TWO, print)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("multi_gpu", "gpus", "count", "devices"),
    [
        (True, "all", 0, ["cpu"]),
        (False, "all", 0, ["cpu"]),
        (True, "all", 1, ["cuda:0"]),
        (True, "all", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (False, "all", 3, ["cuda:0"]),
        (True, "2,0", 3, ["cuda:2", "cuda:0"]),
        (True, "1", 3, ["cuda:1"]),
        (False, "1,2", 3, ["cuda:1"]),
    ],
)
def test_which_devices(multi_gpu, gpus, count, devices):
    assert chosen(multi_gpu, gpus, count) == devices


@pytest.mark.parametrize(
    ("gpus", "count", "said"), [("0", 0, "no GPU"), ("0,1", 1, "GPU 0 alone"), ("4", 4, "GPUs 0 to 3")]
)
def test_gpus_that_do_not_exist_are_refused(gpus, count, said):
    with pytest.raises(InputError, match=f"gpus {gpus}: this computer has {said}"):
        chosen(True, gpus, count)
