"""Network inputs: the two MIPs of a patient with the seed on them, and batches of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wslpet.core.arrays import Array
from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed, annotation_of
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.projection.mip import VIEWS, GridImage, Views, project, to_grid

DEPTH_SCALE_MM = 100.0


@dataclass(frozen=True, eq=False)
class Example:
    """Training example: one annotated patient, some hundred kilobytes.

    Parameters
    ----------
    images : view → (2, u, z) float32: MIP in SUV, depth in mm. Both views have the same z.
    points : view → seed as fractional pixels (u, z), or None when there is no tumour.
    cancer_type : the image-level label.
    name : the scan, for messages.
    others : view → (n, 2) seeds of the patient's other lesions, pixels.
    patient_id : the same for all scans of a patient, who are learned from together or not at all; empty: the name.
    """

    images: dict[str, Array]
    points: dict[str, tuple[float, float]] | None
    cancer_type: str
    name: str = ""
    others: dict[str, Array] = field(default_factory=dict)
    patient_id: str = ""

    @property
    def patient(self) -> str:
        """Which patient this is."""
        return self.patient_id or self.name

    def to(self, device: torch.device | str) -> Sample:
        """Convert to tensors on a device; on the CPU they share memory with the arrays."""
        images = {view: torch.from_numpy(image).to(device) for view, image in self.images.items()}
        return Sample(images, self.points, self.cancer_type, self.others, self.name, self.patient)


@dataclass(frozen=True, eq=False)
class Sample:
    """An `Example` as tensors on a device: view → (2, u, z) float32, MIP in SUV and depth in mm."""

    images: dict[str, Tensor]
    points: dict[str, tuple[float, float]] | None
    cancer_type: str
    others: dict[str, Array] = field(default_factory=dict)
    name: str = ""
    patient: str = ""

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        return self.images["coronal"].device


def prepare(scan: Volume | Views, said: Annotation | Seed, settings: Settings) -> Example:
    """Resample a scan's projections and its seeds to the network's grid.

    Parameters
    ----------
    scan : the volume as stored, or its projections if computed already.
    said : the primary seed is learned from; those of other lesions are known to be no background, those of background
        are as all that is no lesion.

    Raises
    ------
    SeedError
        when the type is not configured, or a seed lies outside the scan.
    """
    annotation = annotation_of(said)
    seed = annotation.primary
    if seed.cancer_type not in settings.classes:
        raise SeedError(
            f"{scan.name}: cancer type {seed.cancer_type!r} is not one of {', '.join(settings.classes)}; "
            "correct the annotation or configure the type"
        )
    views = project(scan.to_ras()) if isinstance(scan, Volume) else scan
    images = grid_images(views, settings)
    points, others = None, {}
    if seed.cancer_type != NO_TUMOUR:
        points = seed_points(views, seed, images)
        places = [seed_points(views, other, images) for other in annotation.seeds[1:]]
        others = {view: np.array([place[view] for place in places]) for view in VIEWS} if places else {}
    return Example(
        {view: np.stack([image.mip, image.depth_mm]) for view, image in images.items()},
        points,
        seed.cancer_type,
        scan.name,
        others,
    )


def grid_images(views: Views, settings: Settings) -> dict[str, GridImage]:
    """Resample both MIPs to the network's grid: view → image."""
    return dict(zip(VIEWS, to_grid(views, settings.grid_mm), strict=True))


def seed_points(ras: Views, seed: Seed, images: dict[str, GridImage]) -> dict[str, tuple[float, float]]:
    """Project a seed onto both images: view → fractional pixels (u, z).

    Raises
    ------
    SeedError
        when the seed lies outside the scan.
    """
    index = ras.to_index(np.array(seed.position))
    if not ras.contains(index):
        raise SeedError(
            f"{ras.name}: seed at {[round(p, 1) for p in seed.position]} mm lies outside the scan; click inside it"
        )
    x, y, z = index
    coronal = images["coronal"].from_voxel(np.array([x, z]))
    sagittal = images["sagittal"].from_voxel(np.array([y, z]))
    return {"coronal": (float(coronal[0]), float(coronal[1])), "sagittal": (float(sagittal[0]), float(sagittal[1]))}


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of patients; `network_channels` makes the network's input of it.

    Parameters
    ----------
    images : view → (n, 2, u, z): MIP in SUV, depth in mm, padded with zeros at their far ends.
    sizes : view → (n, 2) each image's own (u, z) pixels.
    points : view → (n, 2) seeds in pixels, NaN where there is none.
    types : (n,) class indices.
    others : view → (n, m, 2) seeds of other lesions in pixels, NaN where there are fewer than m.
    """

    images: dict[str, Tensor]
    sizes: dict[str, Tensor]
    points: dict[str, Tensor]
    types: Tensor
    others: dict[str, Tensor]

    @property
    def seeded(self) -> Tensor:
        """Whether each patient has a seed, (n,) bool."""
        return torch.isfinite(self.points["coronal"]).all(dim=1)

    def rows(self, start: int, stop: int) -> Batch:
        """Batch of the patients from `start` to `stop`, with the same padding."""
        images, sizes, points, others = (
            {view: tensor[start:stop] for view, tensor in part.items()}
            for part in (self.images, self.sizes, self.points, self.others)
        )
        return Batch(images, sizes, points, self.types[start:stop], others)


def network_channels(batch: Batch, view: str, settings: Settings) -> Tensor:
    """Input channels (n, channel, u, z): MIP scaled to [0, 1] (paper §3.2), view, depth map; 0 in the padding."""
    mip, depth_mm = batch.images[view].unbind(dim=1)
    scaled = (mip / settings.suv_limit).clamp(0, 1)
    if settings.intensity == "sqrt":
        scaled = scaled.sqrt()
    u, z = (torch.arange(n, device=mip.device) for n in mip.shape[1:])
    inside = (u < batch.sizes[view][:, :1])[:, :, None] & (z < batch.sizes[view][:, 1:])[:, None, :]
    channels = [scaled, inside * float(VIEWS.index(view))]
    if settings.depth:
        channels.append(depth_mm / DEPTH_SCALE_MM)
    return torch.stack(channels, dim=1)


def save_example(example: Example, path: Path) -> None:
    """Write an example as .npz, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(temporary, **example_arrays(example))
    os.replace(temporary, path)


def load_example(path: Path) -> Example:
    """Inverse of `save_example`."""
    with np.load(path) as file:
        return example_from_arrays(file)


def example_arrays(example: Example) -> dict[str, Any]:
    """An example as arrays by name, as .npz has them."""
    points = {} if example.points is None else {f"point_{view}": np.array(example.points[view]) for view in VIEWS}
    points |= {f"others_{view}": places for view, places in example.others.items()}
    return {**example.images, **points, "cancer_type": np.array(example.cancer_type), "name": np.array(example.name)}


def example_from_arrays(arrays: Mapping[str, Array]) -> Example:
    """Inverse of `example_arrays`."""
    points = None
    if f"point_{VIEWS[0]}" in arrays:
        points = {view: tuple(arrays[f"point_{view}"].tolist()) for view in VIEWS}
    images = {view: arrays[view] for view in VIEWS}
    others = {view: arrays[name] for view in VIEWS if (name := f"others_{view}") in arrays}
    return Example(images, points, str(arrays["cancer_type"]), str(arrays["name"]), others)


def collate(samples: Sequence[Sample], settings: Settings, multiple: int | None = None) -> Batch:
    """Stack patients into a batch on their device.

    Parameters
    ----------
    multiple : images are padded to a multiple of this many pixels, a multiple of the stride (default: the stride).
    """
    device, none = samples[0].device, (float("nan"), float("nan"))
    images, sizes, points, others = {}, {}, {}, {}
    most = max(len(sample.others.get(VIEWS[0], ())) for sample in samples)
    for view in VIEWS:
        own = [sample.images[view] for sample in samples]
        images[view] = padded(own, multiple or settings.stride)
        sizes[view] = to_device([image.shape[1:] for image in own], torch.int64, device)
        places = [none if sample.points is None else sample.points[view] for sample in samples]
        points[view] = to_device(places, torch.float32, device)
        more = np.full((len(samples), most, 2), np.nan, dtype=np.float32)
        for row, sample in zip(more, samples, strict=True):
            if view in sample.others:
                row[: len(sample.others[view])] = sample.others[view]
        others[view] = torch.from_numpy(more).to(device, non_blocking=True)
    types = [settings.classes.index(sample.cancer_type) for sample in samples]
    return Batch(images, sizes, points, to_device(types, torch.int64, device), others)


def padded(images: Sequence[Tensor], multiple: int) -> Tensor:
    """Stack images (channel, u, z) to (n, channel, u, z), zero-padded at the far ends to a multiple of `multiple`."""
    size = [-(-max(image.shape[axis] for image in images) // multiple) * multiple for axis in (1, 2)]
    stack = images[0].new_zeros(len(images), len(images[0]), *size)
    for row, image in zip(stack, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return stack


def to_device(values: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Copy a small tensor to a device without synchronising with it."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
