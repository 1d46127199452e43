"""GPU against CPU of the same computer, for inference and training: `python -m benchmarks.gpu`.

Each step of inference and training is timed on both; the network alone in single precision, in bfloat16 and compiled.
Phantoms in the folder are used again. A failed step is reported, and the others are measured all the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.gpu.config import QUICK, WHOLE, Config
from benchmarks.gpu.network import network_sections
from benchmarks.gpu.report import Section, write
from benchmarks.gpu.scan import scan_section
from benchmarks.gpu.training import training_section

SECTIONS = ("scans", "training", "network")


def main() -> None:
    options = _arguments()
    config = Config(options.folder, options.device, **(QUICK if options.quick else WHOLE))
    scans = [config.scan(size) for size in config.sizes]
    examples = config.examples(max(config.patients))
    steps: dict[str, Callable[[], Iterator[Section]]] = {
        "scans": lambda: (scan_section(config, size, path) for size, path in zip(config.sizes, scans, strict=True)),
        "training": lambda: (
            training_section(examples[:n], config.settings, config.device, few=n > min(config.patients))
            for n in config.patients
        ),
        "network": lambda: network_sections(config, scans),
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


if __name__ == "__main__":
    main()
