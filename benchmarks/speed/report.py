"""Report of `benchmarks.speed`: ratios first, as text, JSON and a figure."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.speed.figures import Load, Speed

PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "isal", "numba", "nibabel")
# First inference against the limit; the usual way against it, by size; seconds; bytes against the decoded volume.
AT_MOST_LIMITS, AT_LEAST_USUAL = 2.0, {"pet8": 50.0, "pet52": 100.0}
AGAIN_SECONDS, CLICK_SECONDS, INFO_SECONDS, START_SECONDS = {"pet8": 0.060}, 0.100, 0.100, 10.0
PEAK_VOLUMES, TOGETHER_RATIO, TRAINING_RATIO = 3.0, 8.8, 2.0
_VERDICTS = {True: "PASS ", False: "SHORT", None: "     "}


def write(folder: Path, speeds: list[Speed], load: Load) -> None:
    """speed.md, speed.json and speed.png."""
    folder.mkdir(parents=True, exist_ok=True)
    where = machine()
    verdicts = [*(v for speed in speeds for v in _of_size(speed)), *_of_load(load)]
    lines = ["# Speed, on phantom scans", "", where, "", "Medians; ratios are of figures of this run.", ""]
    lines += [f"- {_VERDICTS[reached]} {text}" for text, reached in verdicts]
    for speed in speeds:
        lines += ["", *_table(speed)]
    text = "\n".join([*lines, ""])
    (folder / "speed.md").write_text(text, encoding="utf-8")
    content = {"machine": where, "sizes": [_json(speed) for speed in speeds], "load": vars(load)}
    (folder / "speed.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _figure(speeds, folder / "speed.png")
    print(text)


def _of_size(speed: Speed) -> list[tuple[str, bool]]:
    name, limit, first = speed.scan.name, _p50(speed.limit), _p50(speed.first)
    found = [
        (
            f"{name}: infer over HTTP, first time, {first / limit:.2f} × the limit, at most {AT_MOST_LIMITS:g}",
            first <= AT_MOST_LIMITS * limit,
        )
    ]
    if speed.usual:
        ratio, least = _p50(speed.usual) / first, AT_LEAST_USUAL[name]
        found.append((f"{name}: {ratio:.0f} × faster than the usual way, at least {least:g}", ratio >= least))
    if name in AGAIN_SECONDS:
        found.append(_seconds(f"{name}: infer again", _p50(speed.again), AGAIN_SECONDS[name]))
    found.append(_seconds(f"{name}: a click on an open image", _p50(speed.click), CLICK_SECONDS))
    peak = speed.peak / speed.scan.nbytes
    found.append((f"{name}: peak memory {peak:.2f} × the volume, at most {PEAK_VOLUMES:g}", peak <= PEAK_VOLUMES))
    return found


def _of_load(load: Load) -> list[tuple[str, bool | None]]:
    requests = sum(map(len, load.together.values())) + load.errors
    found: list[tuple[str, bool | None]] = [
        (f"8 viewers, {requests} requests: {load.errors} errors", load.errors == 0),
        *(_of_kind(load, kind) for kind in load.together),
        _seconds("/info/ meanwhile, p95", _p95(load.info), INFO_SECONDS),
        (f"server start {load.start:.1f} s, at most {START_SECONDS:g} s", load.start <= START_SECONDS),
    ]
    if load.click_training:
        ratio = _p50(load.click_training) / _p50(load.click_idle)
        found.append((f"a click beside a training: {ratio:.2f} × its usual time, at most 2", ratio <= TRAINING_RATIO))
    return found


def _of_kind(load: Load, kind: str) -> tuple[str, bool | None]:
    """All viewers ask for this kind, as one alone does. No bound for all kinds mixed: a slow tenth makes the p95, quick
    ones the p50, so that one viewer's own p95 is several times its p50."""
    alone, together = _p50(load.alone[kind]), _p95(load.together[kind])
    text = (
        f"8 viewers, {kind}: p95 {together / alone:.1f} × the p50 of one ({together * 1000:.0f}, {alone * 1000:.0f} ms)"
    )
    if kind == "mixed":
        return f"{text}; the p95 of one: {_p95(load.alone[kind]) / alone:.1f} ×", None
    return f"{text}, at most {TOGETHER_RATIO}", together <= TOGETHER_RATIO * alone


def _seconds(what: str, seconds: float, most: float) -> tuple[str, bool]:
    return f"{what}: {seconds * 1000:.0f} ms, at most {most * 1000:.0f} ms", seconds <= most


def _table(speed: Speed) -> list[str]:
    scan = speed.scan
    shape, megabytes = " × ".join(map(str, scan.shape)), scan.path.stat().st_size / 1e6
    lines = [
        f"## {scan.name}: {shape}, {scan.voxels / 1e6:.0f} M voxels, {megabytes:.0f} MB .nii.gz",
        "",
        "| what | median ms | × the limit | range ms |",
        "| --- | --- | --- | --- |",
    ]
    for name, values in _rows(speed):
        low, high = min(values) * 1000, max(values) * 1000
        median = _p50(values)
        lines.append(f"| {name} | {median * 1000:.0f} | {median / _p50(speed.limit):.2f} | {low:.0f}–{high:.0f} |")
    return lines


def _rows(speed: Speed) -> list[tuple[str, list[float]]]:
    rows = [("limit: decode and one pass", speed.limit)]
    rows += [(f"stage: {name}", values) for name, values in speed.stages.items()]
    rows += [
        ("HTTP: infer, first time", speed.first),
        ("HTTP: infer, again", speed.again),
        ("HTTP: infer, again, .nrrd", speed.nrrd),
        ("HTTP: click, open image", speed.click),
    ]
    return [*rows, ("MONAI Label's usual way", speed.usual)] if speed.usual else rows


def _json(speed: Speed) -> dict[str, Any]:
    scan = speed.scan
    own = {"name": scan.name, "shape": scan.shape, "bytes": scan.path.stat().st_size, "peak_bytes": speed.peak}
    return own | {name: values for name, values in _rows(speed)}


def _figure(speeds: list[Speed], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(speeds), figsize=(5.6 * len(speeds), 3.6), squeeze=False, layout="constrained")
    for axis, speed in zip(axes[0], speeds, strict=True):
        rows = _rows(speed)[::-1]
        limit = _p50(speed.limit)
        ratios = [_p50(values) / limit for _, values in rows]
        colours = [
            "#777777" if "limit" in n or "usual" in n else "#8fb8de" if "stage" in n else "#1f5f99" for n, _ in rows
        ]
        axis.barh([name for name, _ in rows], ratios, color=colours)
        for y, ratio in enumerate(ratios):
            axis.text(ratio * 1.08, y, f"{ratio:.2g}", va="center", fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(right=max(ratios) * 3)
        axis.axvline(1, color="#777777", linewidth=0.8)
        axis.set_title(f"{speed.scan.voxels / 1e6:.0f} M voxels; limit {limit * 1000:.0f} ms", fontsize=10)
        axis.set_xlabel("× the limit: decode and one pass")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def machine() -> str:
    """Hardware and versions that the figures were measured with."""
    import torch

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    python = platform.python_version()
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {card}; Python {python}, {packages}. "
        f"Load average at the end, of which the run itself is one to two: {load}."
    )


def _p50(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _p95(values: list[float]) -> float:
    return float(np.percentile(values, 95)) if values else float("nan")
