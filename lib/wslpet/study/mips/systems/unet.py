"""U-Net on full masks of one view (Ronneberger et al. 2015), without anything of ours but the frame of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wslpet.core.arrays import Array, FloatArray
from wslpet.method.network.cam import use_bfloat16
from wslpet.method.network.coarse_segmenter import SATURATION_SUV
from wslpet.method.segmentation.batches import Augmentation, Sampler
from wslpet.method.segmentation.learner import Learning, site_atlas, training_set
from wslpet.method.segmentation.network import enlarged, reduced
from wslpet.study.mips.cohort import Cohort
from wslpet.study.mips.judging import Prediction
from wslpet.study.mips.systems.case import Case

# Channels of the five levels, and of the last one.
FEATURES = (16, 32, 64, 128, 256, 16)
MULTIPLE = 16
# Windows of a batch: of patients, of lesion-free people.
ILL, WELL = 4, 2
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
THRESHOLD = 0.5
# One in so many of the people is held out, and predicted after each so many steps: the validation curve.
HELD_OUT, VALIDATE_EVERY = 8, 100
# Score of a person: mean of so many of the highest probabilities, about 2 cm².
HIGHEST = 12


def learn_unet(
    cohort: Cohort, numbers: Sequence[int], steps: int, seed: int = 0
) -> tuple[nn.Module, list[tuple[int, float]]]:
    """Train on the masks of patients, one in `HELD_OUT` left out, and lesion-free people; the last weights are used.

    Input: √(SUV / saturation) at 4 mm; loss: soft Dice and cross-entropy; AdamW, one cycle; shift, scale, rotation,
    mirror, gain, gamma and noise as augmentation.

    Returns
    -------
    the network, and (step, mean Dice of held-out patients) of the validation curve.
    """
    from monai.losses.dice import DiceCELoss  # slow to import
    from monai.networks.nets.basic_unet import BasicUNet

    rng = np.random.default_rng(seed)
    held_out, fitting = _divided(cohort, numbers, rng)
    people = cohort.learners(fitting, "full_masks")
    lessons = training_set(people, site_atlas(people), Learning())
    sampler = Sampler(lessons, cohort.types, Augmentation(), None, rng)
    torch.manual_seed(seed)
    network: nn.Module = BasicUNet(2, 1, 1, FEATURES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = DiceCELoss(sigmoid=True, batch=True)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    curve = []
    for step in range(1, steps + 1):
        batch = sampler.draw(ILL, 0, WELL)
        images = batch.inputs[:, :1].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16("cpu")):
            logits = network(images)
        loss = loss_of(logits.float(), batch.lesions[:, None])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % VALIDATE_EVERY == 0 or step == steps:
            curve.append((step, _dice(network.eval(), cohort, held_out)))
            network.train()
    return network.eval(), curve


def _divided(cohort: Cohort, numbers: Sequence[int], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Held-out patients, and everybody else; whoever has several images is on one side."""
    ill = rng.permutation([k for k in numbers if cohort.ill[k]])
    names = {cohort.people[k].person for k in ill[: max(1, len(ill) // HELD_OUT)]}
    held_out = [k for k in numbers if cohort.people[k].person in names]
    return held_out, [k for k in numbers if cohort.people[k].person not in names]


def _dice(network: nn.Module, cohort: Cohort, numbers: Sequence[int]) -> float:
    truth = reduced(cohort.masks[list(numbers)]) >= 0.5
    found = _probabilities(network, cohort, numbers) >= THRESHOLD
    both, total = (found & truth).sum(axis=(1, 2, 3)), (found.sum(axis=(1, 2, 3)) + truth.sum(axis=(1, 2, 3)))
    return float(np.mean(2 * both / np.maximum(total, 1)))


@torch.inference_mode()
def _probabilities(network: nn.Module, cohort: Cohort, numbers: Sequence[int]) -> FloatArray:
    """(person, 1, row, column) on the grid of 4 mm; the mean with the mirrored image, 0 outside the scan."""
    images = reduced(cohort.images[list(numbers)])
    found = np.zeros(images.shape, dtype=np.float32)
    for k, image in enumerate(images[:, 0]):
        rows = np.flatnonzero(np.isfinite(image).any(axis=1))
        window = slice(int(rows[0]), int(rows[-1]) + 1)
        inputs = _scaled(image[window])
        both = torch.stack([inputs, inputs.flip(1)])[:, None]
        both = F.pad(both, (0, -both.shape[3] % MULTIPLE, 0, -both.shape[2] % MULTIPLE))
        values = network(both).sigmoid()[:, 0, : inputs.shape[0], : inputs.shape[1]]
        mean = (values[0] + values[1].flip(1)).numpy() / 2
        found[k, 0, window] = np.where(np.isfinite(image[window]), mean, 0)
    return found


def _scaled(image: Array) -> Tensor:
    return torch.from_numpy(np.sqrt(np.clip(np.nan_to_num(image) / SATURATION_SUV, 0, 1)).astype(np.float32))


def predict_unet(case: Case) -> list[Prediction]:
    """Learn, and predict masks at probability 0.5; the score of a person is the mean of its highest probabilities."""
    network, curve = learn_unet(case.cohort, case.learn_from, case.effort.unet_steps, case.effort.seed)
    case.report(
        f"U-Net, Dice of held-out patients after steps {', '.join(f'{step}: {dice:.2f}' for step, dice in curve)}"
    )
    result, shape = [], case.test.images.shape[2:]
    for k, small in zip(case.numbers, _probabilities(network, case.test, case.numbers), strict=True):
        framed = enlarged(small[0], shape)
        framed[~np.isfinite(case.test.images[k, 0])] = 0
        strength = case.test.on_image(k, framed)
        score = float(np.sort(small.ravel())[-HIGHEST:].mean())
        result.append(Prediction(strength, strength >= THRESHOLD, score, None, None))
    return result
