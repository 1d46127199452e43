"""3D-RPET-Net: outcome predicted by a 3D CNN from full tumour masks (Amyar et al. 2019, IEEE TRPMS 3:225)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wslpet.analysis.outcome import FEWEST
from wslpet.analysis.uptake import central_voxel
from wslpet.core.arrays import Array
from wslpet.core.errors import TrainingError
from wslpet.core.volume import Volume
from wslpet.method.network.checkpoint import best_device
from wslpet.study.design.patients import GRID_MM, Grid, Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System
from wslpet.study.systems.unet import scaled

# The tumour's box, 128 mm at 4 mm.
BOX = 32
LEARNING_RATE = 1e-3
BATCH = 8
SHIFT = 3


class RPETNet(nn.Module):
    """3D CNN: (n, 2, x, y, z), uptake inside the mask and the mask → (n,) logit of the good outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(2, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(inplace=True), nn.MaxPool3d(2),
            nn.Conv3d(8, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(inplace=True), nn.MaxPool3d(2),
        )  # fmt: skip
        self.dense = nn.Sequential(nn.Linear(16 * 2, 16), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, boxes: Tensor) -> Tensor:
        """(n, 2, x, y, z) → (n,) scores."""
        maps = self.features(boxes)
        pooled = torch.cat([maps.mean(dim=(2, 3, 4)), maps.amax(dim=(2, 3, 4))], dim=1)
        logits: Tensor = self.dense(pooled)[:, 0]
        return logits


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Train one network for each cancer type with enough known outcomes."""
    networks = {}
    for number, cancer_type in enumerate(plan.types):
        known = [p for p in patients if p.cancer_type == cancer_type and p.row.outcome is not None]
        start, share = number / len(plan.types), 1 / len(plan.types)
        try:
            networks[cancer_type] = _fit(known, plan, lambda s, t, a=start, b=share: report(a + b * s, t))  # type: ignore[misc]
        except TrainingError as error:
            report(start + share, f"{cancer_type}: {error}")
    return FittedSystem(partial(_find, networks))


def _fit(patients: Sequence[Patient], plan: Plan, report: Report) -> RPETNet:
    outcomes = np.array([patient.row.outcome for patient in patients], dtype=np.float32)
    fewest = int(min(outcomes.sum(), len(outcomes) - outcomes.sum()))
    if fewest < FEWEST:
        raise TrainingError(f"{fewest} training patients have the rarer outcome; {FEWEST} are needed")
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    tumours = [surroundings(patient.grid()) for patient in patients]
    network = RPETNet().to(best_device())
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    steps = plan.rpet_epochs * -(-len(tumours) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    balance = torch.tensor((len(outcomes) - outcomes.sum()) / outcomes.sum()).to(best_device())
    for epoch in range(1, plan.rpet_epochs + 1):
        order, total = rng.permutation(len(tumours)), 0.0
        for chosen in np.array_split(order, -(-len(tumours) // BATCH)):
            boxes = torch.stack([box(tumours[i], rng) for i in chosen]).to(best_device())
            wanted = torch.from_numpy(outcomes[chosen]).to(best_device())
            loss = F.binary_cross_entropy_with_logits(network(boxes), wanted, pos_weight=balance)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        report(epoch / plan.rpet_epochs, f"epoch {epoch}/{plan.rpet_epochs}: loss {total / len(tumours):.3f}")
    return network.eval()


def surroundings(grid: Grid) -> Array:
    """(2, x, y, z) the uptake inside the mask, and the mask, around the tumour's centre; a box and room to shift it."""
    reach = BOX // 2 + SHIFT
    centre = central_voxel(grid.truth, (GRID_MM,) * 3)
    window = tuple(slice(max(0, c - reach), c + reach) for c in centre)
    missing = [(max(0, reach - c), max(0, c + reach - n)) for c, n in zip(centre, grid.truth.shape, strict=True)]
    truth = grid.truth[window]
    return np.stack([np.pad(part, missing) for part in (scaled(grid.suv[window]) * truth, truth.astype(np.float32))])


def box(around: Array, rng: np.random.Generator | None = None) -> Tensor:
    """(2, x, y, z) the middle of a tumour's surroundings; shifted and mirrored where there is a generator."""
    start = np.full(3, SHIFT) if rng is None else rng.integers(0, 2 * SHIFT + 1, 3)
    both = around[tuple(slice(s, s + n) for s, n in zip((0, *start), (2, BOX, BOX, BOX), strict=True))]
    if rng is not None:
        both = np.flip(both, [axis for axis in (1, 2, 3) if rng.random() < 0.5])
    return torch.from_numpy(np.ascontiguousarray(both))


@torch.inference_mode()
def _find(networks: dict[str, RPETNet], patient: Patient, volume: Volume) -> Prediction:
    truth = patient.truth(volume)
    network = networks.get(patient.cancer_type)
    if network is None:
        return Prediction(truth)
    return Prediction(
        truth, good=float(network(box(surroundings(patient.grid()))[None].to(best_device())).sigmoid()[0])
    )


RPET = System(
    name="rpet",
    title="3D-RPET-Net",
    reference="Amyar et al. 2019: two 3D convolutions with pooling and two dense layers on the tumour's box, here "
    "128 mm at 4 mm, cut out by the expert's mask.",
    supervision="full masks, outcome",
    test_input="a full mask",
    learn=learn,
    paper="3d-rpet-Net",
    segments=False,
    cost=25,
)
