"""One process for each GPU, as MONAI Label's `multi_gpu` has it: which GPUs, and the processes from start to end."""

from __future__ import annotations

import copy
import logging
import pickle
import signal
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from wslpet.core.errors import InputError, TrainingError
from wslpet.core.limits import CORES
from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, best_device
from wslpet.method.network.inputs import Example
from wslpet.method.training.augmentation import Augmentation
from wslpet.method.training.ranks import Ranks
from wslpet.method.training.trainer import EpochReport, Trained, train

logger = logging.getLogger(__name__)

ALL = "all"
# What rank 0 may ask the process that started it.
Ask = Callable[[Any], Any]


def gpu_count() -> int:
    """GPUs that this process may use."""
    return torch.cuda.device_count() if best_device() == "cuda" else 0


def chosen(multi_gpu: bool, gpus: str, count: int) -> list[str]:
    """The devices to train on, one or more.

    Parameters
    ----------
    multi_gpu : whether to use more than the first of them.
    gpus : "all", or numbers from 0 such as "0,1".
    count : GPUs that there are; "cpu" is trained on where that is 0.

    Raises
    ------
    InputError
        when `gpus` names one that does not exist.
    """
    numbers = list(range(count)) if gpus == ALL else [int(number) for number in gpus.split(",")]
    missing = [number for number in numbers if number >= count]
    if missing:
        there_are = f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0 alone" if count else "no GPU"
        raise InputError(f'gpus {gpus}: this computer has {there_are}; name one that exists, or write "{ALL}"')
    devices = [f"cuda:{number}" for number in numbers] or ["cpu"]
    return devices if multi_gpu else devices[:1]


def train_on(
    devices: Sequence[str],
    examples: Sequence[Example],
    settings: Settings,
    initial: Model | None = None,
    report: Callable[[EpochReport], bool] | None = None,
    augmentation: Augmentation | None = None,
    incumbent: Model | None = None,
) -> Trained:
    """As `train`, in a process for each device where there are several; `report` is called in this one.

    The weights are those of one process but for rounding and dropout.

    Raises
    ------
    TrainingError
        as `train` does, and when one of the processes fails.
    """
    if len(devices) == 1:
        return train(examples, settings, initial, devices[0], report, augmentation, incumbent)
    work = partial(
        _train,
        examples=list(examples),
        settings=settings,
        initial=_on_cpu(initial),
        augmentation=augmentation,
        incumbent=_on_cpu(incumbent),
    )
    return together(work, devices, report or (lambda epoch: False))


def _train(ranks: Ranks, device: str, ask: Ask, **arguments: Any) -> Trained:
    trained = train(device=device, report=ask, ranks=ranks, **arguments)
    trained.model.network.cpu()
    return trained


def _on_cpu(model: Model | None) -> Model | None:
    return None if model is None else Model(copy.deepcopy(model.network).cpu(), model.settings, model.history)


def together(work: Callable[[Ranks, str, Ask], Any], devices: Sequence[str], answer: Ask) -> Any:
    """Do the work in a process for each device, in one process group, and return what it returns on rank 0.

    Parameters
    ----------
    work : can be pickled; gets its ranks, its device, and a function by which rank 0 asks `answer` here.

    Raises
    ------
    InputError
        that the work raised, on whichever rank.
    TrainingError
        when a process raises anything else, or dies; the others are ended.
    """
    pipes = [Pipe() for _ in devices]
    with tempfile.TemporaryDirectory() as folder:
        # Pickled here: torch would send tensors through shared memory, of which a container has little.
        arguments = (pickle.dumps(work), list(devices), f"{folder}/rendezvous", [theirs for _, theirs in pipes])
        started = mp.spawn(_rank, arguments, nprocs=len(devices), join=False)
        try:
            return _outcome(started, [ours for ours, _ in pipes], devices, answer)
        finally:
            for process in started.processes:
                process.kill()
            for process in started.processes:
                process.join()


def _outcome(started: Any, connections: list[Connection], devices: Sequence[str], answer: Ask) -> Any:
    while True:
        ready = wait([*connections, *started.sentinels])
        speaking = [connection for connection in connections if connection in ready]
        for connection in speaking:
            kind, value = connection.recv()
            if kind == "done":
                return pickle.loads(value)
            if kind == "refused":
                raise value
            connection.send(answer(value))
        if speaking:
            continue
        try:
            over = started.join(timeout=0, grace_period=1)
        except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
            logger.error("%s: %s", devices[error.error_index], error.msg)
            why = error.msg.strip().splitlines()[-1]
            raise TrainingError(
                f"training on {len(devices)} devices: the process of {devices[error.error_index]} failed ({why}); "
                "train again, on one with multi_gpu false"
            ) from error
        if over:
            raise TrainingError(f"training on {len(devices)} devices ended without a model; train again")


def _rank(rank: int, work: bytes, devices: list[str], rendezvous: str, connections: list[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends it with its parent, also amid a GPU's work
    device, connection = devices[rank], connections[rank]
    torch.set_num_threads(max(1, CORES // len(devices)))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    backend = "nccl" if on_gpu and dist.is_nccl_available() else "gloo"
    address = Path(rendezvous).as_uri()
    dist.init_process_group(backend, init_method=address, rank=rank, world_size=len(devices))

    def ask(value: Any) -> Any:
        connection.send(("asked", value))
        return connection.recv()

    try:
        found = pickle.loads(work)(Ranks(rank, len(devices)), device, ask)
    except InputError as error:
        connection.send(("refused", error))
        return
    dist.destroy_process_group()
    if rank == 0:
        connection.send(("done", pickle.dumps(found)))
