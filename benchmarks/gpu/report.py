"""Report of `benchmarks.gpu`: ratios first, as text and JSON."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed.report import machine

CPU, GPU, HALF = "CPU", "GPU", "bfloat16"


@dataclass
class Section:
    """Steps that were timed in several ways, each way a column; the first column is what the others are held against.

    Parameters
    ----------
    rows : (step, column → seconds of each run).
    figures : whatever else was measured, JSON-ready; `notes` tell it.
    errors : of steps that failed; the others' figures stand.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, dict[str, list[float]]]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def compare(
        self,
        step: str,
        ways: dict[str, Callable[..., Any]],
        repeat: int,
        given: dict[str, Callable[[], Any]] | None = None,
    ) -> None:
        """Time a step in all ways in turn, `repeat` times after one that warms up; a way that fails is left out.

        Parameters
        ----------
        given : column → what makes the way's argument, anew for each run and untimed.
        """
        seconds: dict[str, list[float]] = {column: [] for column in ways}
        for n in range(repeat + 1):
            for column in list(seconds):
                with self.guarded(f"{step}, {column}"):
                    arguments = () if given is None else (given[column](),)
                    took = timed(ways[column], *arguments)
                    seconds[column] += [took] if n else []
                    continue
                del seconds[column]  # it failed
        self.add(step, seconds)

    def add(self, step: str, seconds: dict[str, list[float]]) -> None:
        self.rows.append((step, {column: values for column, values in seconds.items() if values}))
        _say(self._row(*self.rows[-1]))

    def note(self, text: str, **figures: Any) -> None:
        self.notes.append(text)
        self.figures |= figures
        _say(text)

    @contextmanager
    def guarded(self, step: str) -> Iterator[None]:
        """What fails in the block is an error of the section and ends the block alone."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0][:200]
            self.errors.append(f"{step}: {type(error).__name__}: {first}")
            _say(self.errors[-1])

    def median(self, step: str, column: str) -> float:
        """Median in seconds; NaN if it was not measured."""
        return next((_median(seconds.get(column, [])) for name, seconds in self.rows if name == step), float("nan"))

    def text(self) -> list[str]:
        lines = [f"## {self.title}", ""]
        if self.rows:
            ratios = [f"{column}: × as fast" for column in self.columns[1:]]
            milliseconds = [f"{column}, ms" for column in self.columns]
            head = ["what", *ratios, *milliseconds]
            lines += [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
            lines += [self._row(*row) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        lines += ["", *(f"- NOT MEASURED: {error}" for error in self.errors)] if self.errors else []
        return lines

    def _row(self, step: str, seconds: dict[str, list[float]]) -> str:
        medians = [_median(seconds.get(column, [])) for column in self.columns]
        ratios = [medians[0] / median for median in medians[1:]]
        cells = [_number(ratio) for ratio in ratios] + [_number(1000 * median) for median in medians]
        return f"| {step} | {' | '.join(cells)} |"


def timed(step: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a step, and of what it left the GPU to do."""
    finish()
    start = time.perf_counter()
    step(*arguments)
    finish()
    return time.perf_counter() - start


def finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak_of(section: Section, what: str = "") -> Iterator[None]:
    """Peak GPU memory of torch's tensors in the block."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.reset_peak_memory_stats()
    yield
    peak = torch.cuda.max_memory_allocated()
    if peak:
        name = f"{what or 'All of it'}: peak memory on the GPU"
        section.note(f"{name} {peak / 1e6:.0f} MB.", **{f"{what} peak_bytes".strip(): peak})


def write(folder: Path, sections: list[Section], trial: bool) -> str:
    """gpu.md, gpu.json; returns the former.

    Parameters
    ----------
    trial : whether there was no GPU, and all figures are the CPU's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = machine()
    lines = ["# On a GPU, on phantom scans and patients", "", where, ""]
    lines += ["**No GPU: both columns are the CPU, to try the benchmark out.**", ""] if trial else []
    lines += ["Medians; ratios are of figures of this run, in which the ways of a row took turns."]
    text = "\n".join([*lines, *(line for section in sections for line in ["", *section.text()]), ""])
    (folder / "gpu.md").write_text(text, encoding="utf-8")
    content = {"machine": where, "trial": trial, "sections": [asdict(section) for section in sections]}
    (folder / "gpu.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return text


def _say(text: str) -> None:
    print(text, flush=True)
    sys.stderr.flush()


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _number(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
