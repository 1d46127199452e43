"""A patient as the network sees one: two small images and a seed on them; and batches of such patients."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.errors import SeedError
from lib.projection import VIEWS, GridImage, Views, project, to_grid
from lib.seeds import NO_TUMOUR, Seed
from lib.settings import Settings
from lib.volume import Volume

DEPTH_SCALE_MM = 100.0


@dataclass(frozen=True, eq=False)
class Example:
    """One annotated patient, some hundred kilobytes.

    Parameters
    ----------
    images : view → (2, u, z) float32: MIP in SUV, depth in mm. Both views have the same z.
    points : view → seed as fractional pixels (u, z), or None when there is no tumour.
    cancer_type : the image-level label.
    name : the patient, for messages.
    """

    images: dict[str, np.ndarray]
    points: dict[str, tuple[float, float]] | None
    cancer_type: str
    name: str = ""


def prepare(scan: Volume | Views, seed: Seed, settings: Settings) -> Example:
    """Put a scan's projections and its seed onto the network's grid.

    Parameters
    ----------
    scan : the volume as stored, or its projections where they are known already.

    Raises
    ------
    SeedError
        when the type is not configured, or the seed lies outside the scan.
    """
    if seed.cancer_type not in settings.classes:
        raise SeedError(
            f"{scan.name}: cancer type {seed.cancer_type!r} is not one of {', '.join(settings.classes)}; "
            "correct the annotation or configure the type"
        )
    views = project(scan.to_ras()) if isinstance(scan, Volume) else scan
    images = grid_images(views, settings)
    points = None
    if seed.cancer_type != NO_TUMOUR:
        points = seed_points(views, seed, images)
    return Example(
        {view: np.stack([image.mip, image.depth_mm]) for view, image in images.items()},
        points,
        seed.cancer_type,
        scan.name,
    )


def grid_images(views: Views, settings: Settings) -> dict[str, GridImage]:
    """View → its MIP on the network's grid."""
    return dict(zip(VIEWS, to_grid(views, settings.grid_mm), strict=True))


def seed_points(ras: Views, seed: Seed, images: dict[str, GridImage]) -> dict[str, tuple[float, float]]:
    """View → where a seed lies on the view's image, fractional pixels (u, z)."""
    index = ras.to_index(np.array(seed.position))
    if not ras.contains(index):
        raise SeedError(
            f"{ras.name}: seed at {[round(p, 1) for p in seed.position]} mm lies outside the scan; click inside it"
        )
    x, y, z = index
    face = images["face"].from_voxel(np.array([x, z]))
    profile = images["profile"].from_voxel(np.array([y, z]))
    return {"face": (float(face[0]), float(face[1])), "profile": (float(profile[0]), float(profile[1]))}


@dataclass(frozen=True, eq=False)
class Batch:
    """Patients stacked for the network.

    Parameters
    ----------
    images : view → (n, channel, u, z), padded at their far ends.
    sizes : view → (n, 2) each image's own (u, z) pixels.
    points : view → (n, 2) seeds in pixels, NaN where there is none.
    types : (n,) class indices.
    """

    images: dict[str, Tensor]
    sizes: dict[str, Tensor]
    points: dict[str, Tensor]
    types: Tensor

    @property
    def seeded(self) -> Tensor:
        """(n,) whether each patient has a seed."""
        return torch.isfinite(self.points["face"]).all(dim=1)

    def rows(self, start: int, stop: int) -> Batch:
        """Some of the patients, padded as they are."""
        images, sizes, points = (
            {view: tensor[start:stop] for view, tensor in part.items()}
            for part in (self.images, self.sizes, self.points)
        )
        return Batch(images, sizes, points, self.types[start:stop])

    def to(self, device: torch.device | str) -> Batch:
        images, sizes, points = (
            {view: tensor.to(device) for view, tensor in part.items()}
            for part in (self.images, self.sizes, self.points)
        )
        return Batch(images, sizes, points, self.types.to(device))


def network_channels(images: dict[str, np.ndarray], settings: Settings) -> dict[str, Tensor]:
    """View → (channel, u, z): the MIP scaled to [0, 1] (paper §3.2), the depth map, the view."""
    channels = {}
    for number, view in enumerate(VIEWS):
        mip, depth_mm = torch.from_numpy(images[view])
        scaled = (mip / settings.suv_limit).clamp(0, 1)
        if settings.intensity == "sqrt":
            scaled = scaled.sqrt()
        stack = [scaled, torch.full_like(scaled, float(number))]
        if settings.depth:
            stack.append(depth_mm / DEPTH_SCALE_MM)
        channels[view] = torch.stack(stack)
    return channels


def save_example(example: Example, path: Path) -> None:
    """Write an example as .npz, whole or not at all."""
    points = {} if example.points is None else {f"point_{view}": example.points[view] for view in VIEWS}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(temporary, **example.images, **points, cancer_type=example.cancer_type, name=example.name)
    os.replace(temporary, path)


def load_example(path: Path) -> Example:
    """Inverse of `save_example`."""
    with np.load(path) as file:
        points = None
        if "point_face" in file:
            points = {view: tuple(file[f"point_{view}"].tolist()) for view in VIEWS}
        return Example({view: file[view] for view in VIEWS}, points, str(file["cancer_type"]), str(file["name"]))


def collate(examples: Sequence[Example], settings: Settings) -> Batch:
    """Stack examples, padded with zeros at the far ends to a common multiple of the stride."""
    per_patient = [network_channels(example.images, settings) for example in examples]
    images, sizes = {}, {}
    for view in VIEWS:
        own = [channels[view] for channels in per_patient]
        size = [max(image.shape[axis] for image in own) for axis in (1, 2)]
        u, z = (-(-n // settings.stride) * settings.stride for n in size)
        images[view] = torch.stack([F.pad(i, (0, z - i.shape[2], 0, u - i.shape[1])) for i in own])
        sizes[view] = torch.tensor([image.shape[1:] for image in own])
    none = (float("nan"), float("nan"))
    points = {
        view: torch.tensor([none if e.points is None else e.points[view] for e in examples], dtype=torch.float32)
        for view in VIEWS
    }
    types = torch.tensor([settings.classes.index(e.cancer_type) for e in examples])
    return Batch(images, sizes, points, types)


@dataclass(frozen=True)
class Augmentation:
    """How far a training patient is moved, scaled and recoloured each time it is seen (ours).

    Parameters
    ----------
    zoom : body size, ± share.
    gain : SUV, ± share, log-uniform.
    jitter_mm : SD of noise on the seed; a human click has its own.
    partial : probability that the field of view is cut above and below the seed.
    noise : SD of noise relative to the root of SUV.
    """

    zoom: float = 0.2
    gain: float = 0.4
    jitter_mm: float = 3.0
    partial: float = 0.4
    noise: float = 0.08


def augment(example: Example, settings: Settings, rng: np.random.Generator, how: Augmentation) -> Example:
    """A changed copy: zoomed about a random origin, gain and noise changed, the field of view cut."""
    zoom = float(np.exp(rng.uniform(-how.zoom, how.zoom)))
    shift_z = rng.uniform(0, 1)
    z_range = _partial_range(example, settings, rng) if rng.random() < how.partial else None
    gain = float(np.exp(rng.uniform(-how.gain, how.gain)))
    images, points = {}, {}
    for view in VIEWS:
        image, origin = example.images[view], 0
        if z_range is not None:
            image, origin = image[:, :, slice(*z_range)], z_range[0]
        shift = (rng.uniform(0, 1), shift_z)
        image = _zoomed(image, zoom, shift)
        mip = np.maximum(image[0] * gain, 0)
        mip += how.noise * np.sqrt(mip) * rng.standard_normal(mip.shape, dtype=np.float32)
        images[view] = np.stack([np.maximum(mip, 0), image[1] * zoom]).astype(np.float32)
        if example.points is not None:
            u, z = example.points[view]
            jitter = rng.normal(0, how.jitter_mm / settings.grid_mm, 2)
            points[view] = (
                (u + 0.5) * zoom - 0.5 + shift[0] + jitter[0],
                (z - origin + 0.5) * zoom - 0.5 + shift[1] + jitter[1],
            )
    return replace(example, images=images, points=points or None)


def _partial_range(example: Example, settings: Settings, rng: np.random.Generator) -> tuple[int, int]:
    rows = example.images["face"].shape[2]
    if example.points is None:
        return 0, rows
    z = example.points["face"][1]
    above, below = rng.uniform(80, 500, 2) / settings.grid_mm
    return max(0, int(z - below)), min(rows, int(z + above) + 1)


def _zoomed(image: np.ndarray, zoom: float, shift: tuple[float, float]) -> np.ndarray:
    # Output pixel p shows input pixel (p - shift + 0.5) / zoom - 0.5, linearly interpolated.
    size = [max(1, round(n * zoom)) for n in image.shape[1:]]
    ticks = [
        ((torch.arange(n) - s + 0.5) / zoom) * 2 / old - 1
        for n, s, old in zip(size, shift, image.shape[1:], strict=True)
    ]
    u, z = torch.meshgrid(*ticks, indexing="ij")
    grid = torch.stack([z, u], dim=-1)[None].float()
    return F.grid_sample(torch.from_numpy(np.ascontiguousarray(image))[None], grid, align_corners=False)[0].numpy()
