"""Class activation maps of the two views, and the 3D map that they make together (paper §2.1, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from lib.examples import Batch, network_channels
from lib.projection import VIEWS
from lib.settings import Settings

# Score of a cell that is padding, not image.
OUTSIDE = -1e4


def normalise(cam: Tensor) -> Tensor:
    """Eq. 1: M_c = w_c^T f / max_x w_c^T f, negative evidence clipped; (..., u, z) → the same, in [0, 1]."""
    positive = cam.clamp_min(0)
    return positive / positive.amax(dim=(-2, -1), keepdim=True).clamp_min(1e-6)


@dataclass(frozen=True, eq=False)
class Cams:
    """The unnormalised CAMs of a batch of patients.

    The two views share the z axis. Reading face(c, x, z) + profile(c, y, z) as the log of a density over
    (x, y, z) makes the pair one 3D map that is never built: every sum over it factors (ours; the paper
    says that the maps are combined, not how).

    Parameters
    ----------
    face : (n, class, x, z); padding is `OUTSIDE`.
    profile : (n, class, y, z); padding is `OUTSIDE`.
    cell_mm : size of a cell, mm.
    """

    face: Tensor
    profile: Tensor
    cell_mm: float

    def type_scores(self, pooling: str) -> Tensor:
        """(n, class): the CAMs pooled to one score per type.

        "average" is the paper's global average pooling (§2.1), over both views. "log-sum-exp" is the log of
        the mean of the 3D map, so that one cell that is sure is enough.
        """
        if pooling == "average":
            return (_mean(self.face) + _mean(self.profile)) / 2
        cells = self._cells()
        return self.log_mass() - torch.log(cells)[:, None]

    def log_mass(self, face_weight: Tensor | None = None, profile_weight: Tensor | None = None) -> Tensor:
        """(n, class): log of the sum over (x, y, z) of exp(face + profile), each view weighted where asked.

        Parameters
        ----------
        face_weight, profile_weight : (n, 1, u, z) log weights.
        """
        face = self.face if face_weight is None else self.face + face_weight
        profile = self.profile if profile_weight is None else self.profile + profile_weight
        return torch.logsumexp(face.logsumexp(dim=2) + profile.logsumexp(dim=2), dim=2)

    def _cells(self) -> Tensor:
        inside_x = (self.face[:, 0] > OUTSIDE / 2).sum(dim=1)  # (n, z)
        inside_y = (self.profile[:, 0] > OUTSIDE / 2).sum(dim=1)
        return (inside_x * inside_y).sum(dim=1).clamp_min(1).to(self.face.dtype)


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
    face, profile = (view_cam(network, batch, view, settings) for view in VIEWS)
    return Cams(face, profile, settings.grid_mm * settings.stride)


def view_cam(network: nn.Module, batch: Batch, view: str, settings: Settings) -> Tensor:
    """(n, class, u, z): one view of a batch through the network; padding is `OUTSIDE`."""
    device = batch.types.device.type
    with torch.autocast(device, torch.bfloat16, enabled=network.training and has_bfloat16(device)):
        cam = network(network_channels(batch, view, settings)).float()
    return mask_outside(cam, batch.sizes[view], settings.stride)


@lru_cache
def has_bfloat16(device: str) -> bool:
    """Whether half precision pays in training: it halves the time of a step on a CPU that has it. On a GPU most of the
    time goes into starting kernels, of which it needs more (benchmarks/results/gpu.md)."""
    return device == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def cell_points(points: Tensor, settings: Settings) -> Tensor:
    """Fractional pixels (..., 2) → fractional cells (..., 2)."""
    return (points + 0.5) / settings.stride - 0.5
