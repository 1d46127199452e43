"""3D U-Net, fully supervised, segmentation only (Ronneberger et al. 2015, Çiçek et al. 2016, both MICCAI)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.method.network.checkpoint import best_device
from wslpet.study.design.patients import Grid, Patient
from wslpet.study.design.plan import Plan
from wslpet.study.systems.system import FittedSystem, Prediction, Report, System

# Patches of 160 mm at 4 mm, half of them around a voxel of the tumour, half anywhere in the body.
PATCH = 40
BATCH = 4
CHANNELS = (12, 24, 48, 96)
STRIDE = 8
# Initial bias of the tumour logit. Tumour voxels are rare; learning that from 0 would take hundreds of steps.
PRIOR = -4.0
LEARNING_RATE = 3e-3
SUV_LIMIT = 30.0
GAIN = 0.3
LOG_EVERY = 25


def learn(patients: Sequence[Patient], plan: Plan, report: Report) -> FittedSystem:
    """MONAI's U-Net on patches, with the sum of Dice loss and cross-entropy, AdamW and one cycle."""
    from monai.losses.dice import DiceCELoss  # slow to import

    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    grids = [patient.grid() for patient in patients]
    network = _network().to(best_device())
    loss_of = DiceCELoss(sigmoid=True, batch=True)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=plan.unet_steps)
    sums = 0.0
    for step in range(1, plan.unet_steps + 1):
        drawn = [_patch(grids[rng.integers(len(grids))], rng, tumour=number % 2 == 0) for number in range(BATCH)]
        images, masks = (
            torch.from_numpy(np.stack(part)[:, None]).to(best_device(), memory_format=torch.channels_last_3d)
            for part in zip(*drawn, strict=True)
        )
        loss = loss_of(network(images), masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        sums += loss.item()
        if step % LOG_EVERY == 0 or step == plan.unet_steps:
            report(step / plan.unet_steps, f"step {step}/{plan.unet_steps}: loss {sums / LOG_EVERY:.3f}")
            sums = 0.0
    return FittedSystem(partial(_find, network.eval()))


def _network() -> nn.Module:
    # Batch norm rather than instance norm: a whole body is then normalised as the training patches were.
    from monai.networks.nets.unet import UNet

    network = UNet(3, 1, 1, CHANNELS, (2,) * (len(CHANNELS) - 1), num_res_units=1, norm="BATCH")
    last = [part for part in network.modules() if isinstance(part, nn.Conv3d | nn.ConvTranspose3d)][-1]
    assert last.bias is not None
    nn.init.constant_(last.bias, PRIOR)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def _patch(grid: Grid, rng: np.random.Generator, tumour: bool) -> tuple[Array, Array]:
    """A random patch (x, y, z) of scaled SUV and its mask, augmented by left-right mirroring and gain."""
    shape = np.array(grid.suv.shape)
    if tumour:
        voxels = np.argwhere(grid.truth)
        centre = voxels[rng.integers(len(voxels))] + rng.integers(-PATCH // 3, PATCH // 3 + 1, 3)
    else:
        centre = rng.integers(0, shape)
    low = np.clip(centre - PATCH // 2, 0, np.maximum(shape - PATCH, 0))
    window = tuple(slice(a, min(a + PATCH, n)) for a, n in zip(low, shape, strict=True))
    missing = [(0, PATCH - (w.stop - w.start)) for w in window]
    gain = float(np.exp(rng.uniform(-GAIN, GAIN)))
    image = np.pad(scaled(grid.suv[window], gain), missing)
    mask = np.pad(grid.truth[window], missing).astype(np.float32)
    return (image[::-1].copy(), mask[::-1].copy()) if rng.random() < 0.5 else (image, mask)


def scaled(suv: Array, gain: float = 1.0) -> Array:
    """Input scaling of our own network: the square root of SUV / 30, in [0, 1]."""
    return np.sqrt(np.clip(suv.astype(np.float32) * gain / SUV_LIMIT, 0, 1))


@torch.inference_mode()
def _find(network: nn.Module, patient: Patient, volume: Volume) -> Prediction:
    ras, grid = volume.to_ras(), patient.grid()
    image = scaled(grid.suv)
    image = np.pad(image, [(0, -n % STRIDE) for n in image.shape])
    logits = network(torch.from_numpy(image[None, None]).to(best_device()))[0, 0].cpu().numpy()
    probability = expit(logits[tuple(slice(0, n) for n in grid.suv.shape)])
    inside = grid.to_volume(probability, ras) >= 0.5
    return Prediction(volume.from_ras(inside))


UNET = System(
    name="unet",
    title="U-Net",
    reference="Ronneberger et al. 2015, Çiçek et al. 2016: MONAI's 3D UNet, four levels of 12 to 96 channels, on 4 mm "
    "voxels, batches of four patches of 40³, half of them on the tumour; the whole body at once in the end.",
    supervision="full masks",
    test_input="nothing",
    learn=learn,
    paper="U-NET",
    cost=80,
)
