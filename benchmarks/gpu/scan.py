"""One scan, from its file to its mask, on the GPU and on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.config import Config
from benchmarks.gpu.report import CPU, GPU, Section, peak_of
from benchmarks.speed import usual
from benchmarks.speed.scans import Sized
from benchmarks.speed.threads import as_the_server
from wslpet.analysis.overlap import agreement
from wslpet.io.readers import read_volume
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.result import Result
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.projection.mip import project
from wslpet.method.shipped import SHIPPED_MODEL

USUAL = "MONAI Label's usual way"


def scan_section(config: Config, size: Sized, path: Path) -> Section:
    """One scan from its file to its mask."""
    shape = " × ".join(map(str, size.shape))
    section = Section(f"{size.name}: {shape}, {size.voxels / 1e6:.0f} M voxels", (CPU, GPU))
    with peak_of(section), section.guarded("scan"), as_the_server():
        _stages(section, config, path)
    with section.guarded(USUAL):
        _usual(section, config, path, on_cpu=size is config.sizes[0])
    return section


def _stages(section: Section, config: Config, path: Path) -> None:
    models = {CPU: load_model(SHIPPED_MODEL), GPU: load_model(SHIPPED_MODEL, config.device)}
    devices = {CPU: "cpu", GPU: config.device}
    volume = read_volume(path)
    ras = volume.to_ras()
    views = project(ras)

    def compare(step: str, ways: dict[str, Callable], made: dict[str, Callable] | None = None) -> None:
        section.compare(step, ways, config.repeat, made)

    compare("decode", {CPU: lambda: read_volume(path)})
    values = torch.from_numpy(ras.array)
    compare("transfer, pageable memory", {GPU: lambda: values.to(config.device)})
    if config.device != "cpu":
        pinned = values.pin_memory()
        compare("transfer, pinned memory", {GPU: lambda: pinned.to(config.device)})
        _note_rate(section, values.nbytes)
    compare("project", {way: lambda on=on: project(ras, on) for way, on in devices.items()})
    compare(
        "decode and project, as the server does",
        {way: lambda on=on: ScanCache(None, device=on).views(path) for way, on in devices.items()},
    )
    compare("network, places", {way: lambda model=model: run_network(views, model) for way, model in models.items()})
    compare(
        "lesion",
        {way: lambda seen: seen.candidates(ras) for way in models},
        {way: lambda model=model: run_network(views, model) for way, model in models.items()},
    )
    compare(
        "segment, from the file",
        {way: lambda model=model: find_lesions(read_volume(path), model) for way, model in models.items()},
    )
    compare(
        "the same as the server does",
        {way: lambda way=way: _answered(path, models[way], devices[way]) for way in models},
    )
    with section.guarded("agreement"):
        _note_agreement(section, *(find_lesions(volume, model) for model in models.values()))
    with section.guarded("agreement of projections"):
        pairs = list(zip(views, project(ras, config.device), strict=True))
        same = all(np.array_equal(a.mip, b.mip) and np.array_equal(a.depth, b.depth) for a, b in pairs)
        section.note(f"Projections and depth maps are {'equal' if same else 'NOT EQUAL'}.", projections_equal=same)


def _answered(path: Path, model: Model, device: str) -> Result:
    """From the file to the mask by `ScanCache` that have not seen it."""
    scans = ScanCache(None, device=device)
    with scans.checkout(path) as volume:
        return find_lesions(volume, model, output=scans.network_output(path, model))


def _note_rate(section: Section, nbytes: int) -> None:
    rates = {kind: nbytes / section.median(f"transfer, {kind} memory", GPU) / 1e9 for kind in ("pageable", "pinned")}
    section.note(
        f"Transfer: {rates['pageable']:.1f} GB/s, of pinned memory {rates['pinned']:.1f}.", transfer_gb_per_second=rates
    )


def _note_agreement(section: Section, cpu: Result, gpu: Result) -> None:
    one, other = cpu.mask.array, gpu.mask.array
    dice = agreement(other, one, cpu.mask.voxel_ml).dice
    differing, of = int((one != other).sum()), int((one > 0).sum())
    probability = max(abs(p - gpu.type_probabilities[name]) for name, p in cpu.type_probabilities.items())
    section.note(
        f"CPU and GPU: {cpu.cancer_type} and {gpu.cancer_type}, Dice of the masks {dice:.5f}, {differing} voxels "
        f"differ (the CPU's lesion has {of}), probabilities by {probability:.1e}.",
        same_type=cpu.cancer_type == gpu.cancer_type,
        dice=dice,
        voxels_differing=differing,
        voxels=of,
        probability_differs=probability,
    )


def _usual(section: Section, config: Config, path: Path, on_cpu: bool) -> None:
    """MONAI Label's usual way; on the CPU once, if asked for, since it is slow."""

    def seconds(device: str, repeat: int) -> list[float]:
        return usual.seconds(path, config.folder / "usual", repeat + 1, device, config.usual_mm)[-max(1, repeat) :]

    found = {}
    for way, device, repeat in ((CPU, "cpu", 0), (GPU, config.device, config.repeat_usual)):
        if way == GPU or on_cpu:
            with section.guarded(f"{USUAL}, {way}"):
                found[way] = seconds(device, repeat)
    section.add(USUAL, found)
    ratio = section.median(USUAL, GPU) / section.median("segment, from the file", GPU)
    section.note(f"On the GPU, the usual way takes {ratio:.1f} × as long as segment.", usual_by_segment=ratio)
