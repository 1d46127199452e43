"""Training of the segmenter: masked cross-entropy and Dice, one-cycle schedule, averaged weights (ours)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wslpet.core.errors import TrainingError
from wslpet.method.network.cam import use_bfloat16
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.segmentation.batches import Augmentation, Batch, Sampler, TrainingSet
from wslpet.method.segmentation.implants import implant_library
from wslpet.method.segmentation.model import Segmenter, SegmenterSettings, new_network
from wslpet.method.segmentation.network import SegmenterNet


@dataclass(frozen=True)
class SegmenterTraining:
    """How the segmenter learns.

    Parameters
    ----------
    steps : of the optimiser.
    ill, implanted, well : windows of a batch: of patients, of lesion-free people with implants, of lesion-free people.
    learning_rate, weight_decay : of AdamW, highest.
    lesion_weight : weight of lesion pixels in the cross-entropy.
    dice_weight, type_weight : of the two other losses.
    averaging : decay of the averaged weights at the end of the training.
    implants : whether lesions are implanted.
    random_seed : of initialisation and augmentation.
    """

    steps: int = 1000
    ill: int = 3
    implanted: int = 2
    well: int = 1
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    lesion_weight: float = 3.0
    dice_weight: float = 1.0
    type_weight: float = 0.2
    averaging: float = 0.98
    implants: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    random_seed: int = 0


def train_segmenter(
    people: TrainingSet,
    settings: SegmenterSettings,
    config: SegmenterTraining | None = None,
    initial: Segmenter | CoarseNet | None = None,
    report: Callable[[int, float], bool] | None = None,
) -> Segmenter:
    """Train the network for all lesions.

    Parameters
    ----------
    people : patients and people without a lesion.
    initial : a site's segmenter or the shipped one to start from; None starts from scratch. The head of a site's is
        taken over if its types are the same.
    report : called with the step and its loss; True from it ends the training.

    Raises
    ------
    TrainingError
        when no patient has a lesion, `initial` has another architecture, or the loss is not finite.
    """
    config = config or SegmenterTraining()
    if not people.lesions.any():
        raise TrainingError("no lesion to learn from; click at least one lesion")
    rng = np.random.default_rng(config.random_seed)
    network = new_network(settings, config.random_seed)
    if isinstance(initial, CoarseNet):
        network.start_from_shipped(initial)
    elif initial is not None:
        _start_from(network, initial, settings)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    library = implant_library(people.images, people.lesions) if config.implants else None
    sampler = Sampler(people, settings.types, config.augmentation, library or None, rng)
    averaged = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.2
    )
    network.train()
    for step in range(config.steps):
        batch = sampler.draw(config.ill, config.implanted, config.well)
        loss = _loss(network, batch, config)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _average(averaged, network, min(config.averaging, 1 - 10 / (step + 10)))
        if not torch.isfinite(loss):
            raise TrainingError(f"training diverged at step {step}: the loss is not finite; lower learning_rate")
        if report is not None and report(step + 1, float(loss.detach())):
            break
    return Segmenter(averaged.eval(), settings)


def _start_from(network: SegmenterNet, initial: Segmenter, settings: SegmenterSettings) -> None:
    if initial.settings.widths != settings.widths:
        raise TrainingError(
            f"weights of widths {initial.settings.widths} do not fit a network of {settings.widths}; use the same"
        )
    weights = initial.network.state_dict()
    if initial.settings.types != settings.types:
        weights = {name: value for name, value in weights.items() if not name.startswith("type_head.")}
    network.load_state_dict(weights, strict=False)


def _loss(network: nn.Module, batch: Batch, config: SegmenterTraining) -> Tensor:
    inputs = batch.inputs.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16("cpu")):
        logits, types = network(inputs)
    logits, weight = logits.float(), batch.weight
    positive = torch.tensor(config.lesion_weight)
    entropy = F.binary_cross_entropy_with_logits(logits, batch.lesions, reduction="none", pos_weight=positive)
    loss: Tensor = (entropy * weight).sum() / weight.sum().clamp(min=1)
    probability = logits.sigmoid() * weight
    overlap = (probability * batch.lesions).sum()
    total = probability.sum() + (batch.lesions * weight).sum()
    loss = loss + config.dice_weight * (1 - (2 * overlap + 1) / (total + 1))
    if types is not None and bool((batch.types >= 0).any()):
        loss = loss + config.type_weight * F.cross_entropy(types.float(), batch.types, ignore_index=-1)
    return loss


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, now in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)
