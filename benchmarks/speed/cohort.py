"""Many small scans on Dask workers, one of which is killed half-way: what is lost, what is done twice, the cost.

    python -m benchmarks.speed.cohort [--scans 500] [--workers 1 2 4]

Each scan is a plain phantom on voxels thrice as large, shifted by whole voxels and with noise of its own. Scheduler
and workers are processes; each scan is done as `wslpet segment --resume` does it. In the last two runs, a worker is
killed half-way, or a second one is started when a tenth of the scans is done.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from benchmarks.common.dask_cluster import cluster, start_worker
from wslpet.cli.commands.radiomics import MASK_END
from wslpet.core.parallel import over
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient

PHANTOMS, COARSER = 5, 3


def write_scans(folder: Path, scans: int) -> tuple[int, ...]:
    """Write the scans; returns the shape of the last."""
    bases = [_coarse(make_patient(9100 + n, PRESETS["plain"]).volume) for n in range(PHANTOMS)]
    shape: tuple[int, ...] = ()
    for n in range(scans):
        base, random = bases[n % PHANTOMS], np.random.default_rng(n)
        array = np.abs(base.array * random.normal(1.0, 0.03, base.array.shape)).astype(np.float32)
        image = nib.Nifti1Image(np.roll(array, int(random.integers(-2, 3)), axis=0), base.affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / f"scan-{n:04d}.nii.gz")
        shape = array.shape
    return shape


def _coarse(volume: Volume) -> Volume:
    """Means of blocks of voxels."""
    n = COARSER
    a, b, c = (size // n * n for size in volume.array.shape)
    array = volume.array[:a, :b, :c].reshape(a // n, n, b // n, n, c // n, n).mean(axis=(1, 3, 5))
    affine = volume.affine @ np.diag([n, n, n, 1.0])
    affine[:3, 3] = (volume.affine @ [(n - 1) / 2, (n - 1) / 2, (n - 1) / 2, 1.0])[:3]
    return Volume(array.astype(np.float32), affine, "SUV", volume.name)


def one_scan(scan: tuple[str, Path], out: Path) -> str:
    """Segment one scan as `wslpet segment` does, and add a line to its journal."""
    from wslpet.cli.commands.segment import segment_one
    from wslpet.method.shipped import SHIPPED_MODEL

    done = segment_one(scan, SHIPPED_MODEL, None, False, out, out, resume=True)
    if "done before" in done:
        return done
    with open(out / f"{scan[0]}.journal", "a", encoding="utf-8") as journal:
        journal.write(f"{os.getpid()}\n")
    return done


@dataclass(frozen=True)
class Run:
    """What a run over all scans came to.

    `cpu` is the processor time of all workers, in seconds, their start included; `largest` is the resident memory of
    the largest worker, in bytes.
    """

    seconds: float
    cpu: float
    largest: int
    masks: int
    failed: tuple[str, ...]
    twice: int
    killed: bool
    by_worker: tuple[int, ...]


def measure(scans: dict[str, Path], out: Path, workers: int, kill: bool = False, join: bool = False) -> Run:
    """Segment all scans on a cluster of its own; a worker may be killed half-way, or one more may join."""
    out.mkdir()
    largest, cpu = 0, dict[int, float]()
    with cluster(out.parent, workers) as (address, processes):
        over_all = threading.Event()

        def watch() -> None:
            nonlocal largest
            while not over_all.wait(0.05):
                for process in (psutil.Process(one.pid) for one in processes if one.poll() is None):
                    largest = max(largest, process.memory_info().rss)
                    cpu[process.pid] = sum(process.cpu_times()[:2])
                done = len(list(out.glob("*.journal")))
                if kill and processes[0].poll() is None and done >= len(scans) // 2:
                    processes[0].kill()
                if join and len(processes) == workers and done >= len(scans) // 10:
                    processes.append(start_worker(out.parent))

        watcher = threading.Thread(target=watch)
        watcher.start()
        begun = time.perf_counter()
        answers = list(over(partial(one_scan, out=out), list(scans.items()), scheduler=address))
        seconds = time.perf_counter() - begun
        over_all.set()
        watcher.join()
        killed = processes[0].poll() is not None
    journals = [(out / f"{name}.journal").read_text().split() for name in scans if (out / f"{name}.journal").exists()]
    return Run(
        seconds,
        sum(cpu.values()),
        largest,
        sum((out / f"{name}{MASK_END}").exists() for name in scans),
        tuple(str(answer) for answer in answers if not isinstance(answer, str)),
        sum(len(workers) - 1 for workers in journals),
        killed,
        tuple(sorted(Counter(worker for workers in journals for worker in workers).values())),
    )


def row(run: Run, scans: int, title: str) -> str:
    """A row of the table."""
    each = f"{run.seconds:.0f} s | {run.seconds / scans:.3f} s | {run.cpu / scans:.3f} s | {run.largest / 2**20:.0f} MB"
    lost = scans - run.masks - len(run.failed)
    by_worker = " + ".join(map(str, run.by_worker))
    return f"| {title} | {each} | {run.masks} ({by_worker}) | {lost} | {len(run.failed)} | {run.twice} |"


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scans", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "scans"
        folder.mkdir()
        shape = write_scans(folder, args.scans)
        scans = {path.name.removesuffix(".nii.gz"): path for path in sorted(folder.iterdir())}
        print(f"{len(scans)} scans of about {shape} voxels\n")
        heads = (
            "workers",
            "wall",
            "wall a scan",
            "core a scan",
            "largest worker",
            "masks (by worker)",
            "lost",
            "failed",
        )
        print(f"| {' | '.join(heads)} | done twice |\n|{' --- |' * (len(heads) + 1)}", flush=True)
        runs = [(f"{workers}", workers, False, False) for workers in args.workers]
        runs += [("2, one killed half-way", 2, True, False), ("1, a second joins", 1, False, True)]
        for number, (title, workers, kill, join) in enumerate(runs):
            place = Path(scratch) / f"run-{number}"
            place.mkdir()
            print(row(measure(scans, place / "out", workers, kill, join), len(scans), title), flush=True)


if __name__ == "__main__":
    main()
