"""The processes that train together: which part of a batch is whose, and how they stay one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from wslpet.method.network.inputs import Batch

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Share:
    """A process's part of a batch.

    Parameters
    ----------
    of_patients, of_seeds : what it is of the whole batch's patients, and of those with a seed, from 0 to 1. The sum
        over the ranks of means weighted by them is the mean over the batch. The latter is a scalar on the batch's
        device, which need not be waited for.
    """

    batch: Batch
    of_patients: float
    of_seeds: Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together: number `rank` of `size`, in torch's process group unless alone."""

    rank: int = 0
    size: int = 1

    def share(self, batch: Batch) -> Share:
        """This rank's patients, padded as the whole batch is: normalisation sees the padding.

        A rank that gets none gets the first patient, with no weight, so that all ranks do the same steps.
        """
        whole = len(batch.types)
        start, stop = self.rank * whole // self.size, (self.rank + 1) * whole // self.size
        part = batch.rows(start, stop) if stop > start else batch.rows(0, 1)
        seeds = batch.seeded[start:stop].sum() / batch.seeded.sum().clamp_min(1)
        return Share(part, (stop - start) / whole, seeds)

    def joined(self, network: nn.Module, device: str) -> nn.Module:
        """The network, whose gradients from now on are the mean over the ranks."""
        if self.size == 1:
            return network
        on_gpu = torch.device(device).type == "cuda"
        return nn.parallel.DistributedDataParallel(network, device_ids=[device] if on_gpu else None)

    def told(self, find_out: Callable[[], Value]) -> Value:
        """What rank 0 finds out, on every rank."""
        if self.size == 1:
            return find_out()
        box: list[Any] = [find_out() if self.rank == 0 else None]
        dist.broadcast_object_list(box)
        return box[0]

    def summed(self, values: np.ndarray) -> np.ndarray:
        """The sum over the ranks."""
        if self.size == 1:
            return values
        all_of_them: list[Any] = [None] * self.size
        dist.all_gather_object(all_of_them, values)
        return np.sum(all_of_them, axis=0)
