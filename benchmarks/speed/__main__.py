"""Latency of the server, against a lower limit and MONAI Label's usual way: `python -m benchmarks.speed`.

The limit is decoding the scan and one pass over it. The usual way is MONAI's transforms with a sliding-window UNet
on the 2 mm volume. All is measured in one run and reported as ratios; requests and the limit alternate, so that other
load on the computer slows both. The server's memory for scans is full before, as it is after a day's work: a virtual
machine may take longer to provide new memory than the scan takes to decode.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.common.server import LABELS, Server
from benchmarks.speed import usual
from benchmarks.speed.figures import Load, Speed
from benchmarks.speed.report import write
from benchmarks.speed.scans import SIZES, Sized, written
from benchmarks.speed.threads import as_the_server
from wslpet.io.masks import write_mask
from wslpet.io.readers import read_volume
from wslpet.method.inference.forward import run_network
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.scan_cache import MEMORY_BYTES
from wslpet.method.network.checkpoint import load_model
from wslpet.method.projection.mip import project
from wslpet.method.shipped import SHIPPED_MODEL

VIEWERS, REQUESTS = 8, 200
# One request in so many is the first of its image.
LATE = 10
INFO_SECONDS = 0.1


def main() -> None:
    args = _arguments()
    shutil.rmtree(args.folder, ignore_errors=True)
    studies = args.folder / "studies"
    studies.mkdir(parents=True)
    scans = [written(args.folder, size) for size in SIZES if size.name in args.sizes]
    speeds = [Speed(scan) for scan in scans]
    load = Load()
    for speed in speeds:
        _stages(speed, args.repeat)
        if not args.no_usual:
            speed.usual = usual.seconds(speed.scan.path, args.folder / "usual", args.repeat_usual)
    for speed in speeds:
        for n in range(args.repeat + 1):
            os.link(speed.scan.path, studies / f"{speed.scan.name}-{n}.nii.gz")
    for n in range(2 * args.requests):
        os.link(scans[0].path, studies / f"{scans[0].name}-late{n}.nii.gz")
    filling = [f"filling{n}" for n in range(MEMORY_BYTES // scans[0].nbytes + 1)]
    for name in filling:
        os.link(scans[0].path, studies / f"{name}.nii.gz")
    start = time.perf_counter()
    with Server(studies, args.folder / "server") as server:
        load.start = time.perf_counter() - start
        _warm(server, args.folder, studies)
        for speed in speeds:
            _peak(server, speed)
        for name in filling:
            _ask(server, "wslpet", name)
        _requests(server, speeds[0], args.repeat)
        _viewers(server, speeds[0], load, args.requests)  # ahead of scans that would take the place of the open ones
        for speed in speeds[1:]:
            _requests(server, speed, args.repeat)
        if not args.no_training:
            _beside_training(server, speeds[0], load)
    write(args.out, speeds, load)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("work/speed"), help="for scans and the server; made anew")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="speed.md, .json and .png")
    parser.add_argument("--sizes", nargs="+", default=[size.name for size in SIZES], help="default: both")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--repeat-usual", type=int, default=1)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--no-usual", action="store_true")
    parser.add_argument("--no-training", action="store_true")
    return parser.parse_args()


def limit_of(path: Path, voxels: int) -> float:
    """Seconds to decompress a float32 .nii.gz into memory and to pass over it once."""
    from isal import igzip

    start = time.perf_counter()
    values = np.empty(voxels, dtype=np.float32)
    with igzip.open(path, "rb") as file:
        file.seek(352)
        view, filled = values.view(np.uint8).data, 0
        while count := file.readinto(view[filled : filled + (1 << 20)]):
            filled += count
    assert filled == values.nbytes
    values.max()
    return time.perf_counter() - start


@as_the_server()
def _stages(speed: Speed, repeat: int) -> None:
    """One inference step by step. The first run warms up and is not kept."""
    model = load_model(SHIPPED_MODEL)
    mask = Path(f"{speed.scan.path}.mask.nii.gz")
    for n in range(repeat + 1):
        seconds: dict[str, float] = {}
        volume = _timed(seconds, "decode", lambda: read_volume(speed.scan.path))
        ras = volume.to_ras()
        views = _timed(seconds, "project", lambda: project(ras))  # noqa: B023
        seen = _timed(seconds, "network, places", lambda: run_network(views, model))  # noqa: B023
        _timed(seconds, "lesion", lambda: seen.candidates(ras))  # noqa: B023
        result = find_lesions(volume, model, seen)
        _timed(seconds, "write", lambda: write_mask(result.mask, mask))  # noqa: B023
        if n:
            for name, value in seconds.items():
                speed.stages.setdefault(name, []).append(value)
    mask.unlink()


def _timed(seconds: dict[str, float], name: str, step: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    value = step()
    seconds[name] = time.perf_counter() - start
    return value


def _warm(server: Server, folder: Path, studies: Path) -> None:
    """A first inference, so that lazily loaded modules are not timed."""
    small = written(folder, Sized("small", (64, 64, 120), studies / "small.nii.gz"))
    _wait_for(server, "small")
    _ask(server, "wslpet", "small")
    _click(server, small)


def _wait_for(server: Server, image: str) -> None:
    while requests.get(f"{server.url}/datastore/image/info", params={"image": image}, timeout=60).status_code != 200:
        time.sleep(0.2)


def _peak(server: Server, speed: Speed) -> None:
    before = server.memory()
    server.forget_peak()
    _ask(server, "wslpet", f"{speed.scan.name}-0")
    speed.peak = server.peak() - before


def _requests(server: Server, speed: Speed, repeat: int) -> None:
    scan = speed.scan
    for n in range(1, repeat + 1):
        speed.limit.append(limit_of(scan.path, scan.voxels))
        speed.first.append(_ask(server, "wslpet", f"{scan.name}-{n}"))
        speed.again.append(_ask(server, "wslpet", f"{scan.name}-{n}"))
        speed.click.append(_click(server, scan, f"{scan.name}-{n}"))
        speed.nrrd.append(_ask(server, "wslpet", f"{scan.name}-{n}", {"result_extension": ".nrrd"}))


def _ask(server: Server, task: str, image: str, params: dict[str, Any] | None = None) -> float:
    """Seconds until the whole answer, mask and JSON, has arrived."""
    start = time.perf_counter()
    answer = server.session().post(
        f"{server.url}/infer/{task}",
        params={"image": image},
        files={"params": (None, json.dumps(params or {}))},
        timeout=300,
    )
    seconds = time.perf_counter() - start
    if answer.status_code != 200:
        raise RuntimeError(f"{task} on {image}: {answer.status_code} {answer.text[:300]}")
    return seconds


def _click(server: Server, scan: Sized, image: str = "") -> float:
    points = {label: [] for label in LABELS} | {scan.cancer_type: [list(scan.click)]}
    return _ask(server, "wslpet_seed", image or scan.name, points)


def _viewers(server: Server, speed: Speed, load: Load, requests_in_all: int) -> None:
    """All ask for one kind; then each finds and clicks in turn, at times on an image that was not open."""
    scan, alone = speed.scan, max(10, requests_in_all // 4)
    opened = [f"{scan.name}-{n}" for n in range(1, len(speed.first) + 1)]
    new = (f"{scan.name}-late{n}" for n in itertools.count())

    def one(kind: str, number: int) -> float | None:
        if kind == "mixed":
            kind = "first" if number % LATE == 0 else "click" if number % 2 else "again"
        image = next(new) if kind == "first" else opened[number % len(opened)]
        try:
            return _click(server, scan, image) if kind == "click" else _ask(server, "wslpet", image)
        except (RuntimeError, requests.RequestException):
            load.errors += 1
            return None

    def answered(seconds: Iterable[float | None]) -> list[float]:
        return [s for s in seconds if s is not None]

    gc.freeze()  # the viewers here share a process: a look at its garbage would stop all eight
    over = threading.Event()
    asking = threading.Thread(target=_info, args=(server, load.info, over))
    asking.start()
    # "first" comes last: its new scans evict the open ones.
    for kind in ("again", "click", "mixed", "first"):
        load.alone[kind] = answered(one(kind, number) for number in range(alone))
        with ThreadPoolExecutor(VIEWERS) as pool:
            load.together[kind] = answered(pool.map(partial(one, kind), range(requests_in_all)))
    over.set()
    asking.join()


def _info(server: Server, seconds: list[float], over: threading.Event) -> None:
    while not over.wait(INFO_SECONDS):
        start = time.perf_counter()
        server.session().get(f"{server.url}/info/", timeout=60).raise_for_status()
        seconds.append(time.perf_counter() - start)


def _beside_training(server: Server, speed: Speed, load: Load) -> None:
    """Clicks on an open image, without a training and while one runs."""
    image = f"{speed.scan.name}-0"
    for n in range(len(speed.first) + 1):
        _click(server, speed.scan.as_type(("lung", "oesophagus")[n % 2]), f"{speed.scan.name}-{n}")
    load.click_idle = [_click(server, speed.scan, image) for _ in range(15)]
    done = threading.Event()

    def epochs(stats: dict[str, Any]) -> None:
        if stats.get("epoch", 0) >= 1 and not done.is_set():
            load.click_training.extend(_click(server, speed.scan, image) for _ in range(15))
            done.set()

    server.train({"max_epochs": 20, "from_scratch": True, "name": "bench"}, epochs)


if __name__ == "__main__":
    main()
