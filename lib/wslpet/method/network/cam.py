"""Class activation maps (CAMs) of the two views, and the 3D map that they form together (paper §2.1, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from wslpet.core.settings import Settings
from wslpet.method.network.inputs import Batch, network_channels
from wslpet.method.projection.mip import VIEWS

# Score of cells in the padding.
OUTSIDE = -1e4


def normalise(cam: Tensor) -> Tensor:
    """Eq. 1: M_c = w_c^T f / max_x w_c^T f, negative evidence clipped; (..., u, z) → the same, in [0, 1]."""
    positive = cam.clamp_min(0)
    return positive / positive.amax(dim=(-2, -1), keepdim=True).clamp_min(1e-6)


@dataclass(frozen=True, eq=False)
class Cams:
    """The unnormalised CAMs of a batch of patients.

    The two views share the z axis. Reading coronal(c, x, z) + sagittal(c, y, z) as the log of a density over
    (x, y, z) makes the pair one 3D map that is never built: every sum over it factors (ours; the paper
    says that the maps are combined, not how).

    Parameters
    ----------
    coronal : (n, class, x, z); padding is `OUTSIDE`.
    sagittal : (n, class, y, z); padding is `OUTSIDE`.
    cell_mm : size of a cell, mm.
    """

    coronal: Tensor
    sagittal: Tensor
    cell_mm: float

    def type_scores(self, pooling: str) -> Tensor:
        """Pool the CAMs to one score per class, (n, class).

        "average" is the paper's global average pooling (§2.1), over both views. "log-sum-exp" is the log of
        the sum over the 3D map (ours): the largest activation counts most, and n cells of the same activation
        count as one that is higher by log n.
        """
        if pooling == "average":
            return (_mean(self.coronal) + _mean(self.sagittal)) / 2
        return self.log_mass()

    def log_mass(self, coronal_weight: Tensor | None = None, sagittal_weight: Tensor | None = None) -> Tensor:
        """Log of the sum over (x, y, z) of exp(coronal + sagittal), (n, class), with optional weights.

        Parameters
        ----------
        coronal_weight, sagittal_weight : (n, 1, u, z) log weights.
        """
        coronal = self.coronal if coronal_weight is None else self.coronal + coronal_weight
        sagittal = self.sagittal if sagittal_weight is None else self.sagittal + sagittal_weight
        return torch.logsumexp(coronal.logsumexp(dim=2) + sagittal.logsumexp(dim=2), dim=2)


def _mean(cam: Tensor) -> Tensor:
    inside = cam > OUTSIDE / 2
    return (cam * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp_min(1)


def mask_outside(cam: Tensor, sizes: Tensor, stride: int) -> Tensor:
    """Mark the cells whose centre lies beyond the image's own size as `OUTSIDE`.

    Parameters
    ----------
    cam : (n, class, u, z).
    sizes : (n, 2) image sizes in pixels, before padding.
    """
    for axis in (0, 1):
        centres = (torch.arange(cam.shape[2 + axis], device=cam.device) + 0.5) * stride  # (cell,)
        outside = centres[None] >= sizes[:, axis, None].to(cam.device)  # (n, cell)
        shape = (len(cam), 1, -1, 1) if axis == 0 else (len(cam), 1, 1, -1)
        cam = cam.masked_fill(outside.reshape(shape), OUTSIDE)
    return cam


def batch_cams(network: nn.Module, batch: Batch, settings: Settings) -> Cams:
    """Run both views of a batch of patients through the network."""
    coronal, sagittal = (view_cam(network, batch, view, settings) for view in VIEWS)
    return Cams(coronal, sagittal, settings.grid_mm * settings.stride)


def view_cam(network: nn.Module, batch: Batch, view: str, settings: Settings) -> Tensor:
    """Run one view of a batch through the network: (n, class, u, z); padding is `OUTSIDE`."""
    device = batch.types.device.type
    with torch.autocast(device, torch.bfloat16, enabled=network.training and use_bfloat16(device)):
        cam = network(network_channels(batch, view, settings)).float()
    return mask_outside(cam, batch.sizes[view], settings.stride)


@lru_cache
def use_bfloat16(device: str) -> bool:
    """Whether to train in bfloat16: on CPUs with AVX-512 BF16, where it halves the time of a step.

    On a GPU, launching kernels takes most of the time, and bfloat16 needs more of them (benchmarks/results/gpu.md).
    """
    return device == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def cell_points(points: Tensor, settings: Settings) -> Tensor:
    """Fractional pixels (..., 2) → fractional cells (..., 2)."""
    return (points + 0.5) / settings.stride - 0.5
