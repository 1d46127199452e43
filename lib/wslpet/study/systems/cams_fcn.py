"""CAMs & FCNs: a fully convolutional network trained on pseudo-masks from CAMs, on both MIPs.

The paper does not describe it. This is the two-step scheme of its own reference [1] (Ahn et al. 2019, CVPR: pseudo-
labels from class attention, then a fully convolutional network), with an FCN after Long et al. 2015 (CVPR): features at
several strides, each scored by a 1×1 convolution, upsampled and summed. From its maps to the lesion it has everything
that ours has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.localisation import CamPoints, ScaleOutput, select_lesion
from wslpet.method.network.cam import Cams, batch_cams, mask_outside, normalise
from wslpet.method.network.checkpoint import Model
from wslpet.method.network.inputs import Batch, Example, collate, network_channels
from wslpet.method.projection.mip import VIEWS, project
from wslpet.method.training.augmentation import Augmentation, augmented_batches
from wslpet.study.design.patients import Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.cams import cam_model
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System

# A pixel is tumour, in a pseudo-mask, where the CAM of the true type is at least this share of its maximum (eq. 1)
# and the MIP this share of its own maximum there: the clinic's 41 %.
CAM_SHARE = 0.5
SUV_SHARE = 0.41
WIDTHS = (16, 32, 48, 64)
LEARNING_RATE = 1e-3
# Cost of the FCN's training relative to the CAM network's.
CAM_TIME = 0.6


class FCN(nn.Module):
    """Fully convolutional network: (n, channel, u, z) → (n, 1, u, z) tumour logits.

    Scores at strides 1, 2, 4 and 8 are upsampled and summed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stages, self.scores = nn.ModuleList(), nn.ModuleList()
        for number, width in enumerate(WIDTHS):
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, 3, 1 if number == 0 else 2, padding=1, bias=False),
                    nn.GroupNorm(8, width),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                    nn.GroupNorm(8, width),
                    nn.ReLU(inplace=True),
                )
            )
            self.scores.append(nn.Conv2d(width, 1, 1))
            channels = width

    def forward(self, images: Tensor) -> Tensor:
        """(n, channel, u, z) → (n, 1, u, z) scores, summed over the stages."""
        total, features = images.new_zeros(()), images
        for stage, score in zip(self.stages, self.scores, strict=True):
            features = stage(features)
            total = total + F.interpolate(score(features), size=images.shape[2:], mode="bilinear", align_corners=False)
        return total


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """Train the CAMs, then the FCN on their pseudo-masks of the augmented patients."""
    cams = cam_model(patients, plan, lambda share, line: report(share * CAM_TIME, line))
    settings = cams.settings
    torch.manual_seed(plan.seed)
    rng, samples = np.random.default_rng(plan.seed), [patient.example().to(cams.device) for patient in patients]
    network = FCN(2 + settings.depth).to(cams.device)
    steps = plan.fcn_epochs * -(-len(samples) // settings.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for epoch in range(1, plan.fcn_epochs + 1):
        losses = []
        for batch in augmented_batches(samples, settings, rng, Augmentation()):
            loss = _loss(network, batch, pseudo_masks(cams, batch), settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        report(CAM_TIME + (1 - CAM_TIME) * epoch / plan.fcn_epochs, f"FCN epoch {epoch}: loss {np.mean(losses):.3f}")
    return FittedSystem(partial(_find, cams, network.eval()))


@torch.no_grad()
def pseudo_masks(cams: Model, batch: Batch) -> dict[str, Tensor]:
    """Pseudo-masks from the CAMs of the true types: view → (n, 1, u, z), 0 or 1."""
    maps = batch_cams(cams.network, batch, cams.settings)
    rows = torch.arange(len(batch.types), device=batch.types.device)
    masks = {}
    for view, cam in (("coronal", maps.coronal), ("sagittal", maps.sagittal)):
        own = normalise(cam[rows, batch.types])[:, None]  # (n, 1, u, z) in cells
        strong = F.interpolate(own, size=batch.images[view].shape[2:], mode="bilinear") >= CAM_SHARE
        suv = batch.images[view][:, :1]
        hottest = torch.where(strong, suv, 0.0).amax(dim=(2, 3), keepdim=True)
        masks[view] = (strong & (suv >= SUV_SHARE * hottest) & (suv > 0)).float()
    return masks


def _loss(network: FCN, batch: Batch, masks: dict[str, Tensor], settings: Settings) -> Tensor:
    """The mean loss of both views."""
    total = batch.images["coronal"].new_zeros(())
    for view in VIEWS:
        total = total + mask_loss(network(network_channels(batch, view, settings)), masks[view])
    return total / len(VIEWS)


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of logits and a mask, both (n, 1, u, z)."""
    probability = logits.sigmoid()
    dice = (2 * (probability * mask).sum() + 1) / (probability.sum() + mask.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + 1 - dice


@torch.inference_mode()
def _find(cams: Model, network: FCN, patient: Patient, volume: Volume) -> Prediction:
    settings, ras = cams.settings, volume.to_ras()
    network_output = run_network(project(ras), cams)
    images = network_output.main.images
    channels = {view: np.stack([image.mip, image.depth_mm]) for view, image in images.items()}
    batch = collate([Example(channels, None, settings.classes[0]).to(cams.device)], settings)
    logits = {view: network(network_channels(batch, view, settings)) for view in VIEWS}
    maps = [mask_outside(F.logsigmoid(logits[view]), batch.sizes[view], 1) for view in VIEWS]
    output = ScaleOutput(images, Cams(maps[0], maps[1], settings.grid_mm))
    _, contour = select_lesion(ras, CamPoints.from_outputs([output], 0, network_output.projections).findings())
    inside = np.zeros(ras.shape, dtype=bool) if contour is None else contour.in_volume(ras.shape)
    return Prediction(volume.from_ras(inside), network_output.cancer_type)


CAMS_FCN = System(
    name="cams-fcn",
    title="CAMs & FCNs",
    reference='Amyar et al., §4, who do not describe it; read as Ahn et al. 2019: the CAMs of "CAMs alone", cut at '
    "half their maximum and 41 % of the SUV there, are the masks that an FCN (Long et al. 2015) learns.",
    supervision="type",
    test_input="nothing",
    learn=learn,
    paper="CAMs & FCNs",
    needs_type=True,
    features=None,
    cost=60,
)
