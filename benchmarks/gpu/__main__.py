"""GPU against CPU of the same computer, for inference and training: `python -m benchmarks.gpu`.

Each step of inference and training is timed on both; the network alone in single precision, in bfloat16 and compiled.
Phantoms in the folder are used again. A failed step is reported, and the others are measured all the same.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common.cohorts import COHORT_SEEDS
from benchmarks.gpu.report import CPU, GPU, HALF, Section, peak_of, timed, write
from benchmarks.gpu.training import of_training
from benchmarks.speed import usual
from benchmarks.speed.scans import SIZES, Sized, written
from benchmarks.speed.threads import as_the_server
from wslpet.analysis.overlap import agreement
from wslpet.core.limits import CORES
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.data.phantom.cohort import SEEDS_PER_COHORT
from wslpet.data.pretraining.weights import phantom_examples
from wslpet.io.readers import read_volume
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.result import Result
from wslpet.method.inference.scan_cache import ScanCache
from wslpet.method.network.cam import OUTSIDE, Cams, batch_cams
from wslpet.method.network.checkpoint import Model, load_model
from wslpet.method.network.inputs import Batch, Example, collate, grid_images
from wslpet.method.projection.mip import VIEWS, Views, project
from wslpet.method.shipped import SHIPPED_MODEL

CUDNN = "GPU with cuDNN"
SINGLE, COMPILED = "float32", "compiled"
# The patients of `benchmarks.training` whom it clicks on: the cohort's first are others, for it to find.
FIRST_PATIENT = COHORT_SEEDS["plain"] * SEEDS_PER_COHORT + 40
SECTIONS = ("scans", "training", "network")
USUAL = "MONAI Label's usual way"


@dataclass(frozen=True)
class Given:
    """The benchmark's configuration.

    Parameters
    ----------
    folder : for phantoms. device : the GPU, as torch calls it.
    sizes : scans, the smallest first. patients : numbers of them to learn from.
    repeat, repeat_usual : runs of each step and of the usual way, after one that warms up.
    usual_mm : voxel size of the usual way.
    """

    folder: Path
    device: str
    sizes: tuple[Sized, ...]
    patients: tuple[int, ...]
    settings: Settings
    repeat: int
    repeat_usual: int
    usual_mm: float

    def scan(self, size: Sized) -> Path:
        path = self.folder / f"{size.name}.nii.gz"
        if not path.exists():
            unfinished = self.folder / "unfinished" / path.name
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            written(unfinished.parent, size)
            os.replace(unfinished, path)
        return path

    def examples(self, n: int) -> list[Example]:
        seeds = range(FIRST_PATIENT, FIRST_PATIENT + n)
        return phantom_examples(seeds, "plain", self.settings, self.folder / "phantoms", CORES)


QUICK = {
    "sizes": (Sized("small", (64, 64, 120)), Sized("smaller", (60, 60, 90))),
    "patients": (12, 16),
    "settings": Settings(epochs=3),
    "repeat": 2,
    "repeat_usual": 0,
    "usual_mm": 8.0,
}
WHOLE = {
    "sizes": SIZES,
    "patients": (40, 200),
    "settings": Settings(),
    "repeat": 7,
    "repeat_usual": 2,
    "usual_mm": usual.SPACING_MM,
}


def main() -> None:
    options = _arguments()
    given = Given(options.folder, options.device, **(QUICK if options.quick else WHOLE))
    scans = [given.scan(size) for size in given.sizes]
    examples = given.examples(max(given.patients))
    steps: dict[str, Callable[[], Iterator[Section]]] = {
        "scans": lambda: (_of_scan(given, size, path) for size, path in zip(given.sizes, scans, strict=True)),
        "training": lambda: (
            of_training(examples[:n], given.settings, given.device, few=n > min(given.patients)) for n in given.patients
        ),
        "network": lambda: _of_network(given, scans),
    }
    sections: list[Section] = []
    for name in options.sections:
        for section in steps[name]():
            sections.append(section)
            text = write(options.out, sections, options.device == "cpu")
    if sections:
        print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("work/gpu"), help="for phantoms, which are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="gpu.md and gpu.json")
    parser.add_argument("--device", default="cuda", help='"cpu" tries the benchmark out where there is no GPU')
    parser.add_argument("--quick", action="store_true", help="everything tiny")
    parser.add_argument(
        "--sections", nargs="*", choices=SECTIONS, default=SECTIONS, help="default: all; none only draws the phantoms"
    )
    options = parser.parse_args()
    if options.sections and options.device != "cpu" and not torch.cuda.is_available():
        parser.error("there is no GPU; --quick --device cpu tries the benchmark out")
    return options


def _of_scan(given: Given, size: Sized, path: Path) -> Section:
    """One scan from its file to its mask."""
    shape = " × ".join(map(str, size.shape))
    section = Section(f"{size.name}: {shape}, {size.voxels / 1e6:.0f} M voxels", (CPU, GPU))
    with peak_of(section), section.guarded("scan"), as_the_server():
        _stages(section, given, path)
    with section.guarded(USUAL):
        _usual(section, given, path, on_cpu=size is given.sizes[0])
    return section


def _stages(section: Section, given: Given, path: Path) -> None:
    models = {CPU: load_model(SHIPPED_MODEL), GPU: load_model(SHIPPED_MODEL, given.device)}
    devices = {CPU: "cpu", GPU: given.device}
    volume = read_volume(path)
    ras = volume.to_ras()
    views = project(ras)

    def compare(step: str, ways: dict[str, Callable], made: dict[str, Callable] | None = None) -> None:
        section.compare(step, ways, given.repeat, made)

    compare("decode", {CPU: lambda: read_volume(path)})
    values = torch.from_numpy(ras.array)
    compare("transfer, pageable memory", {GPU: lambda: values.to(given.device)})
    if given.device != "cpu":
        pinned = values.pin_memory()
        compare("transfer, pinned memory", {GPU: lambda: pinned.to(given.device)})
        _tell_rate(section, values.nbytes)
    compare("project", {way: lambda on=on: project(ras, on) for way, on in devices.items()})
    compare(
        "decode and project, as the server does",
        {way: lambda on=on: ScanCache(None, device=on).views(path) for way, on in devices.items()},
    )
    compare("network, places", {way: lambda model=model: run_network(views, model) for way, model in models.items()})
    compare(
        "lesion",
        {way: lambda seen: seen.answer(ras, volume, 1, Settings().least_evidence) for way in models},
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
        _tell_agreement(section, *(find_lesions(volume, model) for model in models.values()))
    with section.guarded("agreement of projections"):
        pairs = list(zip(views, project(ras, given.device), strict=True))
        same = all(np.array_equal(a.mip, b.mip) and np.array_equal(a.depth, b.depth) for a, b in pairs)
        section.note(f"Projections and depth maps are {'equal' if same else 'NOT EQUAL'}.", projections_equal=same)


def _answered(path: Path, model: Model, device: str) -> Result:
    """From the file to the mask by `ScanCache` that have not seen it."""
    scans = ScanCache(None, device=device)
    with scans.checkout(path) as volume:
        return find_lesions(volume, model, output=scans.network_output(path, model))


def _tell_rate(section: Section, nbytes: int) -> None:
    rates = {kind: nbytes / section.median(f"transfer, {kind} memory", GPU) / 1e9 for kind in ("pageable", "pinned")}
    section.note(
        f"Transfer: {rates['pageable']:.1f} GB/s, of pinned memory {rates['pinned']:.1f}.", transfer_gb_per_second=rates
    )


def _tell_agreement(section: Section, cpu: Result, gpu: Result) -> None:
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


def _usual(section: Section, given: Given, path: Path, on_cpu: bool) -> None:
    """MONAI Label's usual way; on the CPU once, if asked for, since it is slow."""

    def seconds(device: str, repeat: int) -> list[float]:
        return usual.seconds(path, given.folder / "usual", repeat + 1, device, given.usual_mm)[-max(1, repeat) :]

    found = {}
    for way, device, repeat in ((CPU, "cpu", 0), (GPU, given.device, given.repeat_usual)):
        if way == GPU or on_cpu:
            with section.guarded(f"{USUAL}, {way}"):
                found[way] = seconds(device, repeat)
    section.add(USUAL, found)
    ratio = section.median(USUAL, GPU) / section.median("segment, from the file", GPU)
    section.note(f"On the GPU, the usual way takes {ratio:.1f} × as long as segment.", usual_by_segment=ratio)


class _Half(nn.Module):
    """A network in bfloat16 with float32 output."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network, self.device = network, device

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return self.network(images).float()


def _of_network(given: Given, scans: Sequence[Path]) -> Iterator[Section]:
    """Both views of the smallest scan and of one that is shorter: in single precision against in half, and compiled."""
    learned = load_model(SHIPPED_MODEL, given.device)
    volume = read_volume(scans[0]).to_ras()
    views, shorter = project(volume), project(_cut(volume, volume.shape[2] // 6))
    batch = _batch(views, learned.settings, given.device)

    steps: dict[str, Callable[[Model], Any]] = {
        "maps of one grid": lambda model: _cams(model, batch),
        "network": lambda model: run_network(views, model),
        "look, shorter scan": lambda model: run_network(shorter, model),
    }

    def compare(section: Section, ways: dict[str, Model]) -> None:
        for step, shown in steps.items():
            section.compare(step, {way: partial(shown, model) for way, model in ways.items()}, 3 * given.repeat)
        with section.guarded("differences"):
            _tell_differences(section, views, batch, ways)

    yield _of_new_sizes(given, volume, learned)
    section = Section(f"The network on the GPU, {given.sizes[0].name}: half precision", (SINGLE, HALF))
    with section.guarded(HALF), as_the_server():
        compare(section, {SINGLE: learned, HALF: replace(learned, network=_Half(learned.network, given.device))})
    yield section
    yield _of_compiling(given, views, shorter, learned)


def _of_compiling(given: Given, views: Views, shorter: Views, learned: Model) -> Section:
    """The maps of a scan, and what compiling takes for them and for those of another length."""
    section = Section(f"The network on the GPU, {given.sizes[0].name}: compiled", (SINGLE, COMPILED))
    with section.guarded(COMPILED), as_the_server():
        compiled = replace(learned, network=torch.compile(learned.network))
        batches = [_batch(each, learned.settings, given.device) for each in (views, shorter)]
        firsts = [timed(_cams, compiled, batch) for batch in batches]
        ways = {SINGLE: learned, COMPILED: compiled}
        section.compare("maps", {way: partial(_cams, model, batches[0]) for way, model in ways.items()}, given.repeat)
        section.note(
            f"The first maps take {firsts[0]:.1f} s, those of another length {firsts[1]:.1f} s.", first_seconds=firsts
        )
    return section


def _of_new_sizes(given: Given, volume: Volume, learned: Model) -> Section:
    """Scans each of which has another length, as patients' have."""
    section = Section("A scan of another size each time", (CPU, GPU, CUDNN))
    lengths = range(volume.shape[2], volume.shape[2] // 2, -max(1, volume.shape[2] // (4 * given.repeat)))
    views = [project(_cut(volume, volume.shape[2] - length)) for length in lengths][: given.repeat + 1]
    on_cpu, coming = load_model(SHIPPED_MODEL), {way: iter(views) for way in section.columns}
    for each in views:
        grid_images(each, learned.settings)  # the filters of a size are worked out once, by whoever comes first

    def with_cudnn() -> None:
        with mock.patch("wslpet.method.inference.pipeline.without_cudnn", nullcontext):
            run_network(next(coming[CUDNN]), learned)

    with section.guarded("sizes"), as_the_server():
        ways = {
            CPU: lambda: run_network(next(coming[CPU]), on_cpu),
            GPU: lambda: run_network(next(coming[GPU]), learned),
        }
        section.compare("network", {**ways, CUDNN: with_cudnn}, given.repeat)
    return section


def _tell_differences(section: Section, views: Views, batch: Batch, ways: dict[str, Model]) -> None:
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


if __name__ == "__main__":
    main()
