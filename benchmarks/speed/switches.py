"""What each process-wide switch of the server brings: `python -m benchmarks.speed.switches`.

Servers that lack one switch each run beside one that has all, on one scan. They are started and asked in turn, so that
other load on the computer slows all of them. A figure is that without the switch, as a ratio of that with all: the
median over the rounds. Above 1, the switch brings something.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import requests

from benchmarks.common.server import LABELS, Server
from benchmarks.speed.report import machine
from benchmarks.speed.scans import SIZES, Sized, written

VIEWERS = 8
# Python reads this file first, and the app's call then changes nothing.
WITHOUT = {
    "no switch": "",
    "sys.setswitchinterval": "import sys\nsys.setswitchinterval = lambda seconds: None\n",
    "gc.freeze after the imports": "import gc\ngc.freeze = lambda: None\n",
    "gc.disable during the imports": "import gc\ngc.disable = lambda: None\n",
    "one thread a request": "import threadpoolctl, torch\n"
    "torch.set_num_threads = lambda n: None\nthreadpoolctl.threadpool_limits = lambda n: None\n",
}
ALL = "no switch"
Figures = dict[str, float]


def main() -> None:
    args = _arguments()
    shutil.rmtree(args.folder, ignore_errors=True)
    studies = args.folder / "studies"
    studies.mkdir(parents=True)
    size = SIZES[0]
    scan = written(args.folder, Sized(size.name, size.shape, args.folder / f"{size.name}.nii.gz"))
    os.link(scan.path, studies / scan.path.name)
    for n in range(args.rounds * len(args.switches)):
        os.link(scan.path, studies / f"new{n}.nii.gz")
    made = {name: _server(args.folder, name) for name in args.switches}
    starts = [_started(made, reverse=number % 2 == 1) for number in range(args.starts)]
    rounds: dict[str, list[Figures]] = {name: [] for name in made}
    with ExitStack() as running:
        servers = {name: running.enter_context(server) for name, server in made.items()}
        for server in servers.values():
            _asked(server, scan, 2 * VIEWERS)
        new = iter(range(args.rounds * len(args.switches)))
        for number in range(args.rounds):
            order = list(servers) if number % 2 else list(servers)[::-1]
            for name in order:
                rounds[name].append(_asked(servers[name], scan, args.requests, f"new{next(new)}"))
    _write(args.out, rounds, starts, args.requests)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.speed.switches", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("work/switches"), help="for scans and servers; made anew")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="switches.md")
    parser.add_argument("--switches", nargs="+", choices=WITHOUT, default=list(WITHOUT))
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=80)
    args = parser.parse_args()
    args.switches = [ALL, *(name for name in args.switches if name != ALL)]
    return args


def _server(folder: Path, name: str) -> Server:
    """A server on the studies that lacks a switch; each keeps what it learns and computes in a folder of its own."""
    own = folder.resolve() / name.replace(" ", "-")
    (own / "site").mkdir(parents=True)
    (own / "site" / "sitecustomize.py").write_text(WITHOUT[name])
    path = os.pathsep.join(filter(None, [str(own / "site"), os.environ.get("PYTHONPATH")]))
    conf = {"state_dir": str(own / "state")}
    return Server(folder / "studies", own / "scratch", conf, {"PYTHONPATH": path}, by_wslpet=True)


def _started(servers: dict[str, Server], reverse: bool) -> dict[str, float]:
    """Seconds of processor time that each server takes until it answers."""
    seconds = {}
    for name in sorted(servers, reverse=reverse):
        with servers[name] as server:
            times = psutil.Process(server.pid).cpu_times()
            seconds[name] = times.user + times.system
    return seconds


def _asked(server: Server, scan: Sized, count: int, new: str = "") -> Figures:
    """Seconds: of eight viewers that click on an open image, of /info/ meanwhile, and of a first inference alone."""
    over, info = threading.Event(), list[float]()

    def ask_info() -> None:
        while not over.wait(0.05):
            info.append(_seconds(lambda: server.session().get(f"{server.url}/info/", timeout=60)))

    points = {label: [] for label in LABELS} | {scan.cancer_type: [list(scan.click)]}
    asking = threading.Thread(target=ask_info)
    asking.start()
    with ThreadPoolExecutor(VIEWERS) as pool:
        clicks = list(pool.map(lambda _: _infer(server, "wslpet_seed", scan.name, points), range(count)))
    over.set()
    asking.join()
    clicks.sort()
    figures = {
        "8 viewers' clicks, median": statistics.median(clicks),
        "8 viewers' clicks, p95": clicks[int(0.95 * len(clicks))],
        "8 viewers' clicks, slowest": clicks[-1],
        "/info/ meanwhile, slowest": max(info, default=0.0),
    }
    if new:
        figures["first inference, alone"] = _infer(server, "wslpet", new, {})
        figures["click, alone"] = statistics.median(
            _infer(server, "wslpet_seed", scan.name, points) for _ in range(VIEWERS)
        )
    return figures


def _infer(server: Server, task: str, image: str, params: dict[str, list[list[int]]]) -> float:
    address, body = f"{server.url}/infer/{task}?image={image}", {"params": (None, json.dumps(params))}
    return _seconds(lambda: server.session().post(address, files=body, timeout=300))


def _seconds(request: Callable[[], requests.Response]) -> float:
    start = time.perf_counter()
    request().raise_for_status()
    return time.perf_counter() - start


def _write(folder: Path, rounds: dict[str, list[Figures]], starts: list[dict[str, float]], requests_each: int) -> None:
    everything = rounds.pop(ALL)
    kinds = list(everything[0])
    lines = [
        *("# Process-wide switches of the server", "", machine(), ""),
        f"Without the switch ÷ with all: median of {len(everything)} rounds of {requests_each} clicks, and quartiles; "
        f"processor time of {len(starts)} starts. Above 1, the switch brings something.",
        "",
        f"| without | start | {' | '.join(kinds)} |",
        f"| --- | --- |{' --- |' * len(kinds)}",
        f"| (all switches on, ms) | {1000 * statistics.median(start[ALL] for start in starts):.0f} | "
        f"{' | '.join(f'{1000 * _median(everything, kind):.0f}' for kind in kinds)} |",
    ]
    for name, found in rounds.items():
        cells = [_ratio([start[name] for start in starts], [start[ALL] for start in starts])]
        for kind in kinds:
            cells.append(_ratio([one[kind] for one in found], [one[kind] for one in everything]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = "\n".join([*lines, ""])
    (folder / "switches.md").write_text(text, encoding="utf-8")
    print(text)


def _ratio(without: list[float], with_all: list[float]) -> str:
    ratios = [one / other for one, other in zip(without, with_all, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _median(rounds: list[Figures], kind: str) -> float:
    return statistics.median(figures[kind] for figures in rounds)


if __name__ == "__main__":
    main()
