"""Random augmentation of training batches: size, position, gain, noise, field of view, seed (ours).

Parameters are sampled first, from numpy's generator, for one patient after the other. The batch is then transformed as
a whole on the device of its images, so that a GPU gets few and large tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wslpet.core.arrays import Array
from wslpet.core.settings import Settings
from wslpet.method.network.inputs import Batch, Sample, collate, padded, to_device
from wslpet.method.projection.mip import VIEWS

# Batches that are sampled together and sorted, so that each holds patients of similar length.
POOL = 8
# cuDNN plans its work anew for each image size, which takes longer than the work itself. On a GPU, sizes are therefore
# multiples of this number of strides.
GPU_STRIDES = 8


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random augmentation (ours).

    Parameters
    ----------
    zoom : body size, ± share.
    gain : SUV, ± share, log-uniform.
    jitter_mm : SD per axis of noise on the seed, beside a human click's own. It is sampled for each view by itself, so
        that the z of the two views differ.
    partial : probability that the field of view is cut above and below the seed.
    noise : SD of noise relative to the root of SUV.
    """

    zoom: float = 0.2
    gain: float = 0.4
    jitter_mm: float = 3.0
    partial: float = 0.4
    noise: float = 0.08


@dataclass(frozen=True, eq=False)
class AugmentationParams:
    """Sampled augmentation of one patient.

    Parameters
    ----------
    sample : the patient, its field of view already cropped.
    zoom, gain : factors of size and SUV.
    shift : view → translation (u, z) in pixels of the zoomed image.
    points : view → the seed on the augmented image, pixels (u, z).
    others : view → (n, 2) the seeds of other lesions on it.
    noise : view → (u, z) standard normal; empty if the device samples it.
    """

    sample: Sample
    zoom: float
    gain: float
    shift: dict[str, tuple[float, float]]
    points: dict[str, tuple[float, float]] | None
    noise: dict[str, Array]
    others: dict[str, Array] = field(default_factory=dict)

    def size(self, view: str) -> tuple[int, int]:
        """(u, z) size in pixels of the augmented image."""
        u, z = (_zoomed_size(n, self.zoom) for n in self.sample.images[view].shape[1:])
        return u, z


def _zoomed_size(pixels: int, zoom: float) -> int:
    return max(1, round(pixels * zoom))


def augmented_batches(
    samples: Sequence[Sample], settings: Settings, rng: np.random.Generator, config: Augmentation
) -> Iterator[Batch]:
    """One epoch of augmented batches: every patient once, in random batches of patients of similar length.

    Similar lengths need a third of the padding. All random numbers come from `rng`, except the noise on a GPU, which a
    generator there samples, seeded by `rng`.
    """
    device, generator = samples[0].device, None
    if device.type != "cpu":
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
    order, pool = rng.permutation(len(samples)), POOL * settings.batch_size
    for start in range(0, len(order), pool):
        chosen = [
            sample_augmentation(samples[i], settings, rng, config, generator is None)
            for i in order[start : start + pool]
        ]
        chosen.sort(key=lambda params: params.size("coronal")[1])
        batches = [chosen[i : i + settings.batch_size] for i in range(0, len(chosen), settings.batch_size)]
        for number in rng.permutation(len(batches)):
            yield apply_augmentation(batches[number], settings, config, generator)


def sample_augmentation(
    sample: Sample, settings: Settings, rng: np.random.Generator, config: Augmentation, noise: bool = True
) -> AugmentationParams:
    """Sample the augmentation of a patient: zoom about a random origin, gain, noise, field of view, seed jitter.

    Parameters
    ----------
    noise : whether to sample the noise as well.
    """
    zoom = float(np.exp(rng.uniform(-config.zoom, config.zoom)))
    shift_z = rng.uniform(0, 1)
    start, stop = 0, sample.images["coronal"].shape[2]
    if rng.random() < config.partial:
        start, stop = _partial_range(sample, settings, rng)
    gain = float(np.exp(rng.uniform(-config.gain, config.gain)))
    images = {view: image[:, :, start:stop] for view, image in sample.images.items()}
    shifts, points, noises, others = {}, {}, {}, {}
    for view in VIEWS:
        shift = shifts[view] = (rng.uniform(0, 1), shift_z)
        if noise:
            size = [_zoomed_size(n, zoom) for n in images[view].shape[1:]]
            noises[view] = rng.standard_normal(size, dtype=np.float32)
        if sample.points is not None:
            u, z = sample.points[view]
            jitter = rng.normal(0, config.jitter_mm / settings.grid_mm, 2)
            points[view] = (
                (u + 0.5) * zoom - 0.5 + shift[0] + jitter[0],
                (z - start + 0.5) * zoom - 0.5 + shift[1] + jitter[1],
            )
        if view in sample.others:
            others[view] = (sample.others[view] - (0, start) + 0.5) * zoom - 0.5 + shift
    return AugmentationParams(replace(sample, images=images), zoom, gain, shifts, points or None, noises, others)


def _partial_range(sample: Sample, settings: Settings, rng: np.random.Generator) -> tuple[int, int]:
    rows = sample.images["coronal"].shape[2]
    if sample.points is None:
        return 0, rows
    z = sample.points["coronal"][1]
    above, below = rng.uniform(80, 500, 2) / settings.grid_mm
    return max(0, int(z - below)), min(rows, int(z + above) + 1)


def apply_augmentation(
    changes: Sequence[AugmentationParams],
    settings: Settings,
    config: Augmentation,
    generator: torch.Generator | None = None,
) -> Batch:
    """Apply sampled augmentations to a batch; the patients' own images are not modified.

    Parameters
    ----------
    generator : draws the noise, on the patients' device, where the changes bring none.
    """
    device = changes[0].sample.device
    images = zip(*(_zoomed(changes, view) for view in VIEWS), strict=True)
    zoomed = [
        replace(params.sample, images=dict(zip(VIEWS, own, strict=True)), points=params.points, others=params.others)
        for params, own in zip(changes, images, strict=True)
    ]
    batch = collate(zoomed, settings, settings.stride * (GPU_STRIDES if generator else 1))
    zoom, gain = to_device([(c.zoom, c.gain) for c in changes], torch.float32, device).T[
        ..., None, None
    ]  # (n, 1, 1) each
    recoloured = {}
    for view, stack in batch.images.items():
        if generator is None:
            noise = padded([torch.from_numpy(params.noise[view])[None] for params in changes], settings.stride)[:, 0]
        else:
            noise = torch.randn(stack[:, 0].shape, generator=generator, device=device)
        mip = _noisy(stack[:, 0] * gain, config.noise, noise)
        recoloured[view] = torch.stack([mip, stack[:, 1] * zoom], dim=1)
    return replace(batch, images=recoloured)


def _noisy(mip: Tensor, strength: float, noise: Tensor) -> Tensor:
    mip = mip.clamp_min(0)
    # In float32 the root is off by a bit here and there on a CPU, where MKL takes it.
    return (mip + strength * mip.double().sqrt().float() * noise).clamp_min(0)


def _zoomed(changes: Sequence[AugmentationParams], view: str) -> list[Tensor]:
    """Resample each patient's (2, u, z) to its new size, linearly.

    Pixel p shows pixel (p - shift + 0.5) / zoom - 0.5 of before.
    """
    images, sizes = [params.sample.images[view] for params in changes], [params.size(view) for params in changes]
    ticks = []
    for axis in (0, 1):
        numbers = [
            (c.shift[view][axis], c.zoom, image.shape[1 + axis]) for c, image in zip(changes, images, strict=True)
        ]
        shift, zoom, old = to_device(numbers, torch.float32, images[0].device).T[..., None]  # (n, 1) each
        pixels = torch.arange(max(size[axis] for size in sizes), device=images[0].device)
        ticks.append(((pixels - shift + 0.5) / zoom) * 2 / old - 1)  # (n, pixel), from -1 to 1 over the image before
    u, z = torch.broadcast_tensors(ticks[0][:, :, None], ticks[1][:, None, :])
    grid = torch.stack([z, u], dim=-1)  # (n, u, z, 2), at the size of the largest
    return [
        F.grid_sample(image[None], own[None, : size[0], : size[1]], align_corners=False)[0]
        for image, own, size in zip(images, grid, sizes, strict=True)
    ]
