"""Soak test: memory, file handles and latency of a server under load for half an hour: `python -m benchmarks.soak`.

Two annotators click, look at predictions, ask for the next patient and for the server's state, and one trains now and
then, on more phantom patients than fit in memory at once. It writes `soak.csv` and `soak.png`.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from benchmarks.common.cohorts import Case, drawn, stage
from benchmarks.common.server import Server

PAUSE_SECONDS = 0.2
SAMPLE_SECONDS = 5.0
KINDS = ("click", "infer", "next", "info")
# Largest allowed growth of memory from the second to the last third.
TOLERANCE = 0.05


@dataclass
class Soak:
    """Samples (seconds, MB of memory, file handles), and answers (seconds, kind, latency, status)."""

    samples: list[tuple[float, float, int]] = field(default_factory=list)
    answers: list[tuple[float, str, float, int]] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        return time.monotonic() - self.start

    def asked(self, kind: str, method: str, url: str, **request: Any) -> None:
        begun = time.perf_counter()
        status = requests.request(method, url, timeout=300, **request).status_code
        self.answers.append((self.now(), kind, time.perf_counter() - begun, status))

    def growth(self) -> float:
        """Growth of memory: mean of the last third of the time relative to the second third, minus one."""
        memory = np.array([mb for _, mb, _ in self.samples])
        _, second, last = np.array_split(memory, 3)
        return float(last.mean() / second.mean() - 1)


def annotate(server: Server, cases: list[Case], soak: Soak, end: float, seed: int) -> None:
    """One annotator's requests, until `end`."""
    rng = random.Random(seed)
    while soak.now() < end:
        case = rng.choice(cases)
        i, j, k = case.index
        click = [i, j, k + rng.randint(-1, 1)]
        params = {"params": json.dumps({case.cancer_type: [click], "client_id": "soak"})}
        query = {"image": case.name, "output": "image"}
        infer = f"{server.url}/infer"
        soak.asked("click", "POST", f"{infer}/wslpet_seed", params=query, data=params)
        soak.asked("infer", "POST", f"{infer}/wslpet", params=query)
        soak.asked("next", "POST", f"{server.url}/activelearning/random", json={})
        soak.asked("info", "GET", f"{server.url}/info/")
        time.sleep(PAUSE_SECONDS)


def watch(server: Server, soak: Soak, end: float) -> None:
    """Sample the server's process until `end`."""
    process = psutil.Process(server.pid)
    while soak.now() < end:
        # Unique set size: without the pages shared with a forked training.
        memory = process.memory_full_info().uss
        soak.samples.append((soak.now(), memory / 1e6, process.num_fds()))
        time.sleep(SAMPLE_SECONDS)


def run(folder: Path, minutes: float, patients: int, train_minutes: float) -> Soak:
    cases = drawn(folder, "plain", patients)
    end = 60 * minutes
    with Server(stage(cases, folder / "studies"), folder / "scratch") as server:
        soak = Soak()
        people = [threading.Thread(target=annotate, args=(server, cases, soak, end, n)) for n in range(2)]
        people.append(threading.Thread(target=watch, args=(server, soak, end)))
        for person in people:
            person.start()
        while soak.now() < end:
            time.sleep(min(60 * train_minutes, max(0.0, end - soak.now())))
            if soak.now() < end:
                soak.asked("train", "POST", f"{server.url}/train/wslpet", json={"max_epochs": 2})
        for person in people:
            person.join()
    return soak


def write(soak: Soak, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(folder / "soak.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["seconds", "memory_mb", "file_handles"])
        rows.writerows((f"{t:.0f}", f"{mb:.1f}", handles) for t, mb, handles in soak.samples)
    figure, (memory, handles, latency) = pyplot.subplots(3, 1, sharex=True, figsize=(8, 8))
    minutes = [t / 60 for t, *_ in soak.samples]
    memory.plot(minutes, [mb for _, mb, _ in soak.samples])
    memory.set_ylabel("memory, MB")
    memory.set_ylim(bottom=0)
    handles.plot(minutes, [n for *_, n in soak.samples])
    handles.set_ylabel("file handles")
    handles.set_ylim(bottom=0)
    for kind in KINDS:
        own = [(t / 60, seconds) for t, k, seconds, _ in soak.answers if k == kind]
        latency.plot(*zip(*own, strict=True), ".", markersize=2, label=kind)
    latency.set_ylabel("latency, s")
    latency.set_yscale("log")
    latency.set_xlabel("minutes")
    latency.legend()
    figure.tight_layout()
    figure.savefig(folder / "soak.png", dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--train-every", type=float, default=8, metavar="MINUTES")
    parser.add_argument("--out", type=Path, default=Path("work/soak"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    soak = run(args.out, args.minutes, args.patients, args.train_every)
    write(soak, args.out)
    failed = [answer for answer in soak.answers if answer[3] != 200]
    handles = [n for *_, n in soak.samples]
    for kind in (*KINDS, "train"):
        if seconds := [s for _, k, s, _ in soak.answers if k == kind]:
            p50, p95 = np.quantile(seconds, (0.5, 0.95))
            print(f"{kind}: {len(seconds)} answers, p50 {p50:.3f} s, p95 {p95:.3f} s")
    print(f"memory of the last third against the second: {soak.growth():+.1%}; file handles at most {max(handles)}")
    print(f"{len(failed)} of {len(soak.answers)} answers were not 200; {args.out / 'soak.png'}")
    return int(bool(failed) or soak.growth() > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
