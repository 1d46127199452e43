"""`wslpet demo`, `demo-clicks` and `pacs`: a server on phantoms, simulated clicks on it, and a PACS for OHIF."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Non-fasted phantoms on a scanner that the shipped weights were not trained on: there, clicks improve the results.
PRESET = "fed"
PATIENTS = 28
SEED = 2024


def add_to(commands: Any) -> None:
    """Add the subcommands' parsers."""
    demo = commands.add_parser("demo", help="phantom patients, and a server on them that a browser opens")
    demo.add_argument("folder", type=Path, nargs="?", default=Path("wslpet-demo"), help="default: %(default)s")
    demo.add_argument("--host", default="127.0.0.1")
    demo.add_argument("--port", type=int, default=8000)
    demo.set_defaults(command=_demo, passes_on=True)

    clicks = commands.add_parser("demo-clicks", help="the demo by itself: clicks, a training, and what it brought")
    clicks.add_argument("studies", type=Path, help="the phantoms that the running server has")
    clicks.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (default: %(default)s)")
    clicks.add_argument("--clicks", type=int, default=16, metavar="N", help="0 judges what is in use (default: 16)")
    clicks.set_defaults(command=_clicks)

    pacs = commands.add_parser("pacs", help="a PACS on this computer, for as long as a command runs")
    pacs.add_argument("folder", type=Path, help="where it keeps its images")
    pacs.add_argument("--port", type=int, metavar="N", help="default: a free one")
    pacs.add_argument("--load", type=Path, metavar="DIR", help="DICOM series to store, unless it has them")
    pacs.add_argument("--run", nargs=argparse.REMAINDER, required=True, metavar="COMMAND", help="and its arguments")
    pacs.set_defaults(command=_pacs)


def _demo(args: argparse.Namespace) -> int:
    from wslpet.cli.serving.port import check_port
    from wslpet.cli.serving.serve import serve

    check_port(args.host, args.port)
    truths = args.folder.with_name(args.folder.name + "-truth")
    if not (truths / "cohort.csv").exists():
        from tqdm import tqdm

        from wslpet.data.phantom import PRESETS, write_cohort

        with tqdm(total=PATIENTS, unit="patient", desc="phantom") as bar:
            write_cohort(args.folder, PATIENTS, SEED, PRESETS[PRESET], progress=lambda done, total: bar.update())
    return serve(str(args.folder), args.host, args.port, "demo", args.others)


def _clicks(args: argparse.Namespace) -> None:
    from wslpet.cli.demo.play import Demo, play

    play(Demo(args.studies, args.url), args.clicks, partial(print, flush=True))


def _pacs(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from wslpet.cli.demo.orthanc import Orthanc

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Orthanc(args.folder, args.port) as orthanc:
        files = orthanc.missing(args.load) if args.load else []
        with tqdm(total=len(files), unit="image", desc="load", disable=not files) as bar:
            orthanc.upload(files, bar.update)
        return _run(args.run)


def _run(command: Sequence[str]) -> int:
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # Ctrl-C reached the child, too
    except SystemExit:
        process.terminate()
        process.wait()
        raise
