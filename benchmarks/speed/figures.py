"""Measurements of `benchmarks.speed`."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.speed.scans import Sized


@dataclass
class Speed:
    """Measurements of one scan size, in seconds (lists of repeated runs) and bytes.

    Parameters
    ----------
    stages : of one inference, in this process.
    peak : of the server, above what it held before the request.
    """

    scan: Sized
    limit: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    click: list[float] = field(default_factory=list)
    nrrd: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    peak: int = 0


@dataclass
class Load:
    """Seconds of requests of one viewer, of many at once, and of /info/ meanwhile; of clicks beside a training.

    Parameters
    ----------
    alone, together : by kind, "again", "click", "first", and "mixed" of all three.
    """

    alone: dict[str, list[float]] = field(default_factory=dict)
    together: dict[str, list[float]] = field(default_factory=dict)
    info: list[float] = field(default_factory=list)
    errors: int = 0
    click_idle: list[float] = field(default_factory=list)
    click_training: list[float] = field(default_factory=list)
    start: float = 0.0
