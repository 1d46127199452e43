"""The network on a GPU: in single precision, in bfloat16, compiled, and on scans of changing size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.config import Config
from benchmarks.gpu.report import CPU, GPU, HALF, Section, timed
from benchmarks.speed.threads import as_the_server
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.io.readers import read_volume
from wslpet.method.inference.forward import run_network
from wslpet.method.network.cam import OUTSIDE, Cams, batch_cams
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.network.inputs import Batch, Example, collate, grid_images
from wslpet.method.projection.mip import VIEWS, Views, project
from wslpet.method.shipped import SHIPPED_MODEL

CUDNN = "GPU with cuDNN"
SINGLE = "float32"
COMPILED = "compiled"


class _Half(nn.Module):
    """A network in bfloat16 with float32 output."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network, self.device = network, device

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return self.network(images).float()


def network_sections(config: Config, scans: Sequence[Path]) -> Iterator[Section]:
    """Both views of the smallest scan and of one that is shorter: in single precision against in half, and compiled."""
    learned = load_model(SHIPPED_MODEL, config.device)
    volume = read_volume(scans[0]).to_ras()
    views, shorter = project(volume), project(_cut(volume, volume.shape[2] // 6))
    batch = _batch(views, learned.settings, config.device)

    steps: dict[str, Callable[[Model], Any]] = {
        "maps of one grid": lambda model: _cams(model, batch),
        "network": lambda model: run_network(views, model),
        "network, shorter scan": lambda model: run_network(shorter, model),
    }

    def compare(section: Section, ways: dict[str, Model]) -> None:
        for step, shown in steps.items():
            section.compare(step, {way: partial(shown, model) for way, model in ways.items()}, 3 * config.repeat)
        with section.guarded("differences"):
            _note_differences(section, views, batch, ways)

    yield _of_new_sizes(config, volume, learned)
    section = Section(f"The network on the GPU, {config.sizes[0].name}: half precision", (SINGLE, HALF))
    with section.guarded(HALF), as_the_server():
        compare(section, {SINGLE: learned, HALF: replace(learned, network=_Half(learned.network, config.device))})
    yield section
    yield _of_compiling(config, views, shorter, learned)


def _of_compiling(config: Config, views: Views, shorter: Views, learned: Model) -> Section:
    """The maps of a scan, and what compiling takes for them and for those of another length."""
    section = Section(f"The network on the GPU, {config.sizes[0].name}: compiled", (SINGLE, COMPILED))
    with section.guarded(COMPILED), as_the_server():
        compiled = replace(learned, network=torch.compile(learned.network))
        batches = [_batch(each, learned.settings, config.device) for each in (views, shorter)]
        firsts = [timed(_cams, compiled, batch) for batch in batches]
        ways = {SINGLE: learned, COMPILED: compiled}
        section.compare("maps", {way: partial(_cams, model, batches[0]) for way, model in ways.items()}, config.repeat)
        section.note(
            f"The first maps take {firsts[0]:.1f} s, those of another length {firsts[1]:.1f} s.", first_seconds=firsts
        )
    return section


def _of_new_sizes(config: Config, volume: Volume, learned: Model) -> Section:
    """Scans each of which has another length, as patients' have."""
    section = Section("A scan of another size each time", (CPU, GPU, CUDNN))
    lengths = range(volume.shape[2], volume.shape[2] // 2, -max(1, volume.shape[2] // (4 * config.repeat)))
    views = [project(_cut(volume, volume.shape[2] - length)) for length in lengths][: config.repeat + 1]
    on_cpu, coming = load_model(SHIPPED_MODEL), {way: iter(views) for way in section.columns}
    for each in views:
        grid_images(each, learned.settings)  # the filters of a size are worked out once, by whoever comes first

    def with_cudnn() -> None:
        with mock.patch("wslpet.method.inference.forward.without_cudnn", nullcontext):
            run_network(next(coming[CUDNN]), learned)

    with section.guarded("sizes"), as_the_server():
        ways = {
            CPU: lambda: run_network(next(coming[CPU]), on_cpu),
            GPU: lambda: run_network(next(coming[GPU]), learned),
        }
        section.compare("network", {**ways, CUDNN: with_cudnn}, config.repeat)
    return section


def _note_differences(section: Section, views: Views, batch: Batch, ways: dict[str, Model]) -> None:
    """Largest difference of the unnormalised maps and the probabilities from those of the CPU."""
    on_cpu = load_model(SHIPPED_MODEL)
    expected, probabilities = (
        _cams(on_cpu, _batch(views, on_cpu.settings, "cpu")),
        run_network(views, on_cpu).probabilities,
    )
    found = {way: (_cams(model, batch), run_network(views, model).probabilities) for way, model in ways.items()}
    with _without_tf32():
        found["float32 without TF32"] = _cams(ways[SINGLE], batch), run_network(views, ways[SINGLE]).probabilities
    inside = [cam[cam > OUTSIDE / 2] for cam in (expected.coronal, expected.sagittal)]
    low, high = min(float(cam.min()) for cam in inside), max(float(cam.max()) for cam in inside)
    section.note(f"The CPU's maps go from {low:.2f} to {high:.2f}.", cam_range=[low, high])
    for way, (cams, likely) in found.items():
        cell = max(float((getattr(cams, view).cpu() - getattr(expected, view)).abs().max()) for view in VIEWS)
        probability = max(abs(likely[name] - p) for name, p in probabilities.items())
        section.note(f"{way}: maps differ from the CPU's by up to {cell:.1e}, probabilities by {probability:.1e}.")
        section.figures.setdefault("differences", {})[way] = {"cam": cell, "probability": probability}


@torch.inference_mode()
def _cams(model: Model, batch: Batch) -> Cams:
    return batch_cams(model.network, batch, model.settings)


def _batch(views: Views, settings: Settings, device: str) -> Batch:
    """One patient on the network's grid, nothing known of a tumour."""
    images = {view: np.stack([image.mip, image.depth_mm]) for view, image in grid_images(views, settings).items()}
    return collate([Example(images, None, settings.classes[0]).to(device)], settings)


def _cut(volume: Volume, slices: int) -> Volume:
    """Without so many slices at the feet (RAS)."""
    x, y, z = volume.shape
    return volume.cropped((slice(0, x), slice(0, y), slice(slices, z)))


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
