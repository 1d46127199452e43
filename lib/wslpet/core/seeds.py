"""Annotations, the weak labels of the method: a patient's cancer type and one seed per lesion, the primary first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from wslpet.core.errors import SeedError

NO_TUMOUR = "no tumour"
# Type of a seed that marks a place without a tumour.
BACKGROUND = "background"
# Methods for the contour of a lesion: that of this package, a share of the lesion's SUVmax, or a fixed SUV.
OURS = "ours"
CONTOUR_METHODS = (OURS, "41 %", "50 %", "SUV 2.5", "SUV 4.0")
# Most steps to a larger or a smaller contour.
MAX_STEP = 20


@dataclass(frozen=True)
class ContourChoice:
    """The reader's choice of contour for one lesion.

    Parameters
    ----------
    method : one of `CONTOUR_METHODS`: that of this package; 41 % or 50 % of the lesion's SUVmax; SUV 2.5 or 4.0.
        Blanks and upper case are ignored.
    step : number of contours by which it is larger (positive) or smaller (negative) than the method's own contour.

    Raises
    ------
    SeedError
        if the method does not exist, or the step is not a whole number from -`MAX_STEP` to `MAX_STEP`.
    """

    method: str = OURS
    step: int = 0

    def __post_init__(self) -> None:
        known = {name.replace(" ", "").casefold(): name for name in CONTOUR_METHODS}
        name = "".join(str(self.method).split()).casefold()
        if name not in known:
            raise SeedError(f"contour {self.method!r} is not one of {', '.join(CONTOUR_METHODS)}")
        object.__setattr__(self, "method", known[name])
        if not isinstance(self.step, int) or isinstance(self.step, bool) or abs(self.step) > MAX_STEP:
            raise SeedError(f"contour step {self.step!r} is not a whole number from -{MAX_STEP} to {MAX_STEP}")

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as JSON-ready values."""
        return {"method": self.method, "step": self.step}

    @classmethod
    def from_dict(cls, record: Any) -> ContourChoice:
        """Inverse of `to_dict`; None gives the default. Raises SeedError for anything else."""
        if record is None:
            return cls()
        if not isinstance(record, dict) or set(record) - {"method", "step"}:
            raise SeedError(f'contour {record!r} is not {{"method": one of {list(CONTOUR_METHODS)}, "step": 0}}')
        return cls(**record)


DEFAULT_CONTOUR = ContourChoice()


@dataclass(frozen=True)
class Seed:
    """A point near the centre of one lesion, and the cancer type (paper §2).

    Parameters
    ----------
    cancer_type : one of the configured types, `NO_TUMOUR`, or `BACKGROUND` for a place without a tumour.
    position : (x, y, z) in mm RAS, near the centre of the lesion; ignored for `NO_TUMOUR`.
    index : the click (i, j, k) in voxels of the volume as stored, exactly as the viewer sent it; None without a viewer.
    user : name of the person who clicked.
    time : time of the click, ISO 8601 in UTC; "" is replaced by the present time.
    id : id of the request that sent the click, "" if it has none. A request that is sent twice is recorded once.
    contour : the reader's choice of contour.

    Raises
    ------
    SeedError
        if the position or the index is not three finite numbers, or the type is empty.
    """

    cancer_type: str
    position: tuple[float, float, float]
    index: tuple[float, float, float] | None = None
    user: str = "unknown"
    time: str = ""
    id: str = ""
    contour: ContourChoice = DEFAULT_CONTOUR

    def __post_init__(self) -> None:
        if not isinstance(self.cancer_type, str) or not self.cancer_type:
            raise SeedError(f"cancer type {self.cancer_type!r} is not a name; send one of the configured types")
        object.__setattr__(self, "position", _three("position", self.position))
        if self.index is not None:
            object.__setattr__(self, "index", _three("index", self.index))
        if not self.time:
            object.__setattr__(self, "time", datetime.now(timezone.utc).isoformat(timespec="milliseconds"))

    def to_dict(self) -> dict[str, Any]:
        """Return the seed as JSON-ready values; `id` and `contour` are left out if they are the defaults."""
        return {
            "cancer_type": self.cancer_type,
            "position": list(self.position),
            "index": None if self.index is None else list(self.index),
            "user": self.user,
            "time": self.time,
            **({"id": self.id} if self.id else {}),
            **({} if self.contour == DEFAULT_CONTOUR else {"contour": self.contour.to_dict()}),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Seed:
        """Inverse of `to_dict`. Raises SeedError, which names the keys that are missing."""
        missing = {"cancer_type", "position"} - set(record)
        if missing:
            raise SeedError(f"seed {record!r} lacks {sorted(missing)}; a seed needs a type and a position in mm RAS")
        return cls(
            cancer_type=record["cancer_type"],
            position=record["position"],
            index=record.get("index"),
            user=record.get("user", "unknown"),
            time=record.get("time", ""),
            id=record.get("id", ""),
            contour=ContourChoice.from_dict(record.get("contour")),
        )


@dataclass(frozen=True)
class Annotation:
    """One reader's annotation of one patient: the cancer type and the places of the lesions.

    Parameters
    ----------
    seeds : one seed per lesion, all of one cancer type. The first is that of the primary tumour; the paper's method
        is trained on it. An annotation `NO_TUMOUR` has exactly one seed.
    background : seeds of type `BACKGROUND`. The part of a lesion that belongs to such a seed is cut off.
    user, time, id : as in `Seed`, but of the annotation as a whole; "" takes the value of the first seed. The ids of
        the seeds are removed.
    review : whether this is the consensus of a reviewer, which takes precedence over every reading.

    Raises
    ------
    SeedError
        if there is no seed, the seeds have different types, or there are several of `NO_TUMOUR`.
    """

    seeds: tuple[Seed, ...]
    background: tuple[Seed, ...] = ()
    user: str = ""
    time: str = ""
    id: str = ""
    review: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "background", tuple(self.background))
        types = {seed.cancer_type: None for seed in self.seeds}
        if len(types) != 1 or BACKGROUND in types:
            raise SeedError(f"an annotation of types {list(types)}; a patient has one cancer type and a lesion or more")
        if NO_TUMOUR in types and (len(self.seeds) > 1 or self.background):
            raise SeedError(f"an annotation {NO_TUMOUR!r} has lesions; send it alone")
        if any(seed.cancer_type != BACKGROUND for seed in self.background):
            raise SeedError(f"a background seed is of another type; its type is {BACKGROUND!r}")
        for name in ("user", "time", "id"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(self.primary, name))
        object.__setattr__(self, "seeds", tuple(replace(seed, id="") for seed in self.seeds))

    @property
    def primary(self) -> Seed:
        """Seed of the primary tumour, on which the paper's method is trained."""
        return self.seeds[0]

    @property
    def cancer_type(self) -> str:
        """Cancer type of all seeds."""
        return self.primary.cancer_type

    @property
    def position(self) -> tuple[float, float, float]:
        """Position of the primary, mm RAS."""
        return self.primary.position

    @property
    def index(self) -> tuple[float, float, float] | None:
        """Voxel index of the primary, as the viewer sent it."""
        return self.primary.index

    def equals(self, other: Annotation) -> bool:
        """Whether user, type, and the places and contours of all seeds are equal; times and ids are ignored."""
        return (self.user, self.review, _content(self)) == (other.user, other.review, _content(other))

    def with_type(self, cancer_type: str) -> Annotation:
        """Return the same lesions with another cancer type."""
        return replace(self, seeds=tuple(replace(seed, cancer_type=cancer_type) for seed in self.seeds))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: the record of the first seed, with "seeds" and "background" if there are more."""
        record = {**self.primary.to_dict(), "user": self.user, "time": self.time}
        record |= {"id": self.id} if self.id else {}
        record |= {"review": True} if self.review else {}
        if self.background:
            record["background"] = [seed.to_dict() for seed in self.background]
        if len(self.seeds) > 1 or (self.primary.user, self.primary.time) != (self.user, self.time):
            record["seeds"] = [seed.to_dict() for seed in self.seeds]
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Annotation:
        """Inverse of `to_dict`; the record of a single seed is accepted, too. Raises SeedError as `Seed.from_dict`."""
        seeds = record.get("seeds") or [record]
        return cls(
            tuple(Seed.from_dict(seed) for seed in seeds),
            tuple(Seed.from_dict(seed) for seed in record.get("background", ())),
            record.get("user", ""),
            record.get("time", ""),
            record.get("id", ""),
            record.get("review") is True,
        )


def annotation_of(given: Annotation | Seed | Sequence[Seed]) -> Annotation:
    """Return the annotation of one or several seeds, which may include `BACKGROUND` seeds; an annotation as it is."""
    if isinstance(given, Annotation):
        return given
    seeds = [given] if isinstance(given, Seed) else list(given)
    background = tuple(seed for seed in seeds if seed.cancer_type == BACKGROUND)
    return Annotation(tuple(seed for seed in seeds if seed.cancer_type != BACKGROUND), background)


def _content(annotation: Annotation) -> list[tuple[Any, ...]]:
    return [(s.cancer_type, s.index or s.position, s.contour) for s in (*annotation.seeds, *annotation.background)]


def _three(what: str, values: Any) -> tuple[float, float, float]:
    try:
        point = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        point = ()
    if len(point) != 3 or not all(math.isfinite(v) for v in point):
        raise SeedError(f"seed {what} {values!r} is not three finite numbers; click once inside the volume")
    return point
