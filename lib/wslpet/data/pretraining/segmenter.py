"""Train the shipped segmenter on lifelike phantoms with their masks (python -m wslpet.data.pretraining.segmenter)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from wslpet.core.arrays import Array, BoolArray, FloatArray
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, Patient, make_patient
from wslpet.method.network.coarse_segmenter import GRID_MM, CoarseNet, input_channels, save_network
from wslpet.method.normal.reference import display_images
from wslpet.method.projection.mip import project
from wslpet.method.shipped import SHIPPED_SEGMENTER

PRESET = "lifelike"
# Tests, measurements and the CAM network's training use smaller random seeds. The 40 phantoms from 500,000 on were used
# to evaluate the segmenter.
FIRST_SEED = 500_040
PEOPLE = 210
# Simulating a phantom with this voxel size takes one second, with a scanner's own voxel size four.
VOXEL_MM = (4.07, 4.07, GRID_MM)
# A pixel of a lesion is hidden if another tissue along the ray is hotter; hidden pixels have no weight in the training.
OWN_SHARE = 0.999
WINDOW = (192, 112)
# SUV at which displays saturate.
SATURATION = (4.0, 8.0)
BATCH, STEPS, LEARNING_RATE = 8, 500, 2e-3
LESION_WEIGHT = 3.0


@dataclass(frozen=True, eq=False)
class PhantomMip:
    """Coronal MIP of a phantom in the orientation of a display, on the segmenter's grid.

    Parameters
    ----------
    image : (row, column) SUV.
    lesions : (row, column) bool, pixels whose ray passes a lesion.
    visible : (row, column) bool, pixels of `lesions` whose maximum is in a lesion.
    """

    image: FloatArray
    lesions: BoolArray
    visible: BoolArray


def phantom_mip(seed: int) -> PhantomMip:
    """Simulate one phantom and project it."""
    patient = make_patient(seed, PRESETS[PRESET], VOXEL_MM)
    image = _displayed(patient, patient.volume.array)
    own = _displayed(patient, np.where(patient.truth.array > 0, patient.volume.array, 0))
    lesions = _displayed(patient, patient.truth.array) > 0
    return PhantomMip(image, lesions, lesions & (own >= OWN_SHARE * image))


def _displayed(patient: Patient, array: Array) -> FloatArray:
    volume = Volume(np.asarray(array, dtype=np.float32), patient.volume.affine).to_ras()
    return np.ascontiguousarray(display_images(project(volume))[0].pixels)


def cached_mip(seed: int, cache: Path) -> PhantomMip:
    """A phantom's MIP, simulated once and then read from the cache."""
    path = cache / f"{PRESET}-{seed}.npz"
    if not path.exists():
        mip = phantom_mip(seed)
        np.savez_compressed(path, image=mip.image.astype(np.float16), lesions=mip.lesions, visible=mip.visible)
    with np.load(path, allow_pickle=False) as content:
        return PhantomMip(content["image"].astype(np.float32), content["lesions"], content["visible"])


def sample(mip: PhantomMip, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A random window of a phantom: inputs (channel, row, column), lesions and weight (row, column), all float32."""
    maps = [mip.image, mip.lesions.astype(np.float32), mip.visible.astype(np.float32)]
    saturation = np.exp(rng.uniform(*np.log(SATURATION)))
    if rng.random() < 0.5:
        maps = [values[:, ::-1] for values in maps]
    at = _places(mip.image.shape, rng)
    image, lesions, visible = (ndimage.map_coordinates(values, at, order=1, cval=0.0) for values in maps)
    image = _degraded(2 * np.clip(image / 2, 0, None) ** np.exp(rng.uniform(-0.15, 0.15)), rng)
    uptake = np.clip(image / saturation, 0, 1).astype(np.float32)
    drawn = lesions > 0.5
    weight = np.where(drawn & ~ndimage.binary_dilation(visible > 0.5), 0, 1)
    return input_channels(uptake), drawn.astype(np.float32), weight.astype(np.float32)


def _places(shape: tuple[int, ...], rng: np.random.Generator) -> list[Array]:
    """Fractional rows and columns of a window: scaled, rotated, anywhere along the body."""
    rows, columns = WINDOW
    scale, aspect = np.exp(rng.uniform(-0.15, 0.15)), np.exp(rng.uniform(-0.07, 0.07))
    angle, height = rng.normal(0, 0.04), shape[0]
    room = rows / 2, max(rows / 2 + 1, height * scale - rows / 2)
    middle = rng.uniform(*room) / scale if height * scale > rows else height / 2
    across = shape[1] / 2 + rng.normal(0, 2)
    y, x = np.meshgrid(
        (np.arange(rows) - rows / 2) / scale, (np.arange(columns) - columns / 2) / (scale * aspect), indexing="ij"
    )
    return [y * np.cos(angle) - x * np.sin(angle) + middle, y * np.sin(angle) + x * np.cos(angle) + across]


def _degraded(image: Array, rng: np.random.Generator) -> Array:
    """An image (SUV) blurred or sharpened, with noise."""
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.7))
    elif rng.random() < 0.5:
        image = np.clip(image + rng.uniform(0.2, 0.9) * (image - ndimage.gaussian_filter(image, 1.0)), 0, None)
    level = 0.5 * rng.uniform(0, 0.35) * rng.random()
    noisy: FloatArray = image + level * np.sqrt(np.clip(image, 0, None)) * rng.standard_normal(image.shape)
    return noisy


def train_coarse(
    people: Sequence[PhantomMip], steps: int, random_seed: int = 0, report: Callable[[int, float], None] | None = None
) -> CoarseNet:
    """Train the network; `report` is called with the step and its loss."""
    rng = np.random.default_rng(random_seed)
    torch.manual_seed(random_seed)
    network = CoarseNet()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    network.train()
    for step in range(steps):
        drawn = [sample(people[int(rng.integers(len(people)))], rng) for _ in range(BATCH)]
        inputs, lesions, weight = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*drawn, strict=True))
        loss = _loss(network(inputs), lesions, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if report is not None:
            report(step + 1, float(loss.detach()))
    return network.eval()


def _loss(logits: Tensor, lesions: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy and Dice where the truth is known."""
    positive = torch.tensor(LESION_WEIGHT)
    entropy = F.binary_cross_entropy_with_logits(logits, lesions, reduction="none", pos_weight=positive)
    probability = logits.sigmoid() * weight
    overlap, total = (probability * lesions).sum(), probability.sum() + (lesions * weight).sum()
    return (entropy * weight).sum() / weight.sum() + 1 - (2 * overlap + 1) / (total + 1)


def main() -> None:
    """Simulate the phantoms, train the network, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cache", type=Path, default=Path("work/pretraining"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=SHIPPED_SEGMENTER)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + args.people)
    with ProcessPoolExecutor(args.workers) as pool:
        drawn = pool.map(partial(cached_mip, cache=args.cache), seeds, chunksize=4)
        people = list(tqdm(drawn, total=len(seeds), desc="phantoms"))
    with tqdm(total=args.steps, desc="steps") as bar:

        def report(step: int, loss: float) -> None:
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")

        network = train_coarse(people, args.steps, report=report)
    save_network(network, args.out, {"phantoms": args.people, "steps": args.steps})
    print(f"{args.out}: {args.people} phantoms, {args.steps} steps")


if __name__ == "__main__":
    main()
