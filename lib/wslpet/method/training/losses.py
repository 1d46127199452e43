"""Losses: cross-entropy of the cancer type (loss 1), distance of the CAM to the seed (loss 2) (paper §2.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wslpet.method.network.cam import OUTSIDE, Cams
from wslpet.method.projection.mip import VIEWS

# SD per axis of a human click around the centre, on phantoms; the likelihood need not be sharper than that.
SEED_SD_MM = 8.0
# Cells this near the seed of another lesion are not taken for background: two SD, and a cell of 16 mm is not much more.
OTHER_MM = 2 * SEED_SD_MM


def type_loss(scores: Tensor, types: Tensor) -> Tensor:
    """Loss 1: cross-entropy of the type, binary in the paper; scores (n, class), types (n,) → scalar."""
    return F.cross_entropy(scores, types)


def distance_loss(
    cams: Cams, types: Tensor, seeds: dict[str, Tensor], form: str, others: dict[str, Tensor] | None = None
) -> Tensor:
    """Loss 2: distance of the CAM to the seed, averaged over the patients that have one.

    "expected" is E‖x − seed‖ / 100 mm under the softmax of the true type's CAM, averaged over the views:
    the Wasserstein-1 distance to a point mass. "likelihood" is −log of the mass of the 3D map under a
    Gaussian around the seed, whose variance is that of a click, `SEED_SD_MM`², plus that of a place in a cell: a map of
    one cell at a distance of d costs d² / (2 SD²), which is 0.5 at one SD, 0.1 at half of it, and goes on rising to
    70 SD in each view (0.65 m with cells of 16 mm). z counts once, with the seed's z in the coronal view. Both forms
    are ours; the paper does not give its own.

    Parameters
    ----------
    types : (n,) class of each patient.
    seeds : view → (n, 2) seed as fractional cell coordinates (u, z); NaN where there is none.
    others : view → (n, m, 2) seeds of other lesions, NaN where there are fewer. The paper learns from one seed; cells
        within `OTHER_MM` of another one, and no nearer to the first, have no part in loss 2, as they are no background
        (ours). Seeds of background need nothing of their own: all that is no lesion is punished.

    Returns
    -------
    scalar; 0 if no patient has a seed.
    """
    if form == "off":
        return cams.coronal.new_zeros(())
    has_seed = torch.isfinite(seeds["coronal"]).all(dim=1)
    rows = torch.arange(len(types), device=types.device)
    coronal_cam, sagittal_cam = cams.coronal[rows, types][:, None], cams.sagittal[rows, types][:, None]
    # Boolean indexing would synchronise a GPU, so patients without a seed get weight 0. NaN must not reach a gradient.
    coronal, sagittal = (torch.where(has_seed[:, None], seeds[view], 0.0) for view in VIEWS)
    if others is not None and others["coronal"].shape[1]:
        coronal_cam = _without_others(coronal_cam, coronal, others["coronal"], cams.cell_mm)
        sagittal_cam = _without_others(sagittal_cam, sagittal, others["sagittal"], cams.cell_mm)

    def mean(values: Tensor) -> Tensor:
        return torch.where(has_seed, values, 0.0).sum() / has_seed.sum().clamp_min(1)

    if form == "expected":
        distances = (
            _expected_mm(coronal_cam, coronal, cams.cell_mm),
            _expected_mm(sagittal_cam, sagittal, cams.cell_mm),
        )
        return (mean(distances[0]) / 100.0 + mean(distances[1]) / 100.0) / 2
    chosen = Cams(coronal_cam, sagittal_cam, cams.cell_mm)
    near = chosen.log_mass(
        _log_near(coronal_cam, coronal, cams.cell_mm, z_too=True),
        _log_near(sagittal_cam, sagittal, cams.cell_mm, z_too=False),
    )
    return mean((chosen.log_mass() - near)[:, 0])


def _without_others(cam: Tensor, seed: Tensor, others: Tensor, cell_mm: float) -> Tensor:
    """(n, 1, u, z) with the cells at the seeds of other lesions (n, m, 2) as padding."""
    own = torch.hypot(*_offsets_mm(cam, seed, cell_mm))  # (n, u, z)
    at_other = torch.zeros_like(own, dtype=torch.bool)
    for number in range(others.shape[1]):
        away = torch.hypot(*_offsets_mm(cam, others[:, number], cell_mm))  # NaN is not near
        at_other |= (away <= OTHER_MM) & (away < own)
    return cam.masked_fill(at_other[:, None], OUTSIDE)


def _offsets_mm(cam: Tensor, seed: Tensor, cell_mm: float) -> tuple[Tensor, Tensor]:
    # (n, u, 1) and (n, 1, z) distance along each axis
    u = torch.arange(cam.shape[2], device=cam.device, dtype=cam.dtype)
    z = torch.arange(cam.shape[3], device=cam.device, dtype=cam.dtype)
    return (u[None, :] - seed[:, :1])[:, :, None] * cell_mm, (z[None, :] - seed[:, 1:])[:, None, :] * cell_mm


def _expected_mm(cam: Tensor, seed: Tensor, cell_mm: float) -> Tensor:
    # (n, 1, u, z), (n, 2) → (n,)
    du, dz = _offsets_mm(cam, seed, cell_mm)
    probability = cam.flatten(1).softmax(dim=1).view_as(cam)[:, 0]  # (n, u, z)
    return (probability * torch.sqrt(du**2 + dz**2 + 1e-3)).sum(dim=(1, 2))


def _log_near(cam: Tensor, seed: Tensor, cell_mm: float, z_too: bool) -> Tensor:
    # The Gaussian factors over x, y and z; z is shared by the views and counts once.
    du, dz = _offsets_mm(cam, seed, cell_mm)
    sd = math.hypot(SEED_SD_MM, cell_mm / math.sqrt(12))
    square = du**2 + (dz**2 if z_too else 0 * dz)
    return (-square / (2 * sd**2)).clamp_min(OUTSIDE / 4)[:, None]  # (n, 1, u, z)
