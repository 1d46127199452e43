"""Annotations, the weak supervision: a patient's cancer type and one seed for each lesion, the primary tumour first."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from wslpet.core.errors import SeedError

NO_TUMOUR = "no tumour"
# Type of a seed that says "this place is no tumour".
BACKGROUND = "background"
# How the contour of a lesion is found: by the method of this package, or by a threshold as readers use it.
OURS = "ours"
CONTOUR_METHODS = (OURS, "41 %", "50 %", "SUV 2.5", "SUV 4.0")
# Beyond this, a contour can grow or shrink no further.
MAX_STEP = 20


@dataclass(frozen=True)
class ContourChoice:
    """The reader's choice of contour for one lesion.

    Parameters
    ----------
    method : one of `CONTOUR_METHODS`: of this package; at least 41 % or 50 % of the lesion's SUVmax; at least SUV 2.5
        or 4.0. Blanks and capitals do not count.
    step : so many contours larger (positive) or smaller (negative) than the method's own.

    Raises
    ------
    SeedError
        when the method does not exist, or the step is not a whole number up to `MAX_STEP`.
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
        """JSON-ready."""
        return {"method": self.method, "step": self.step}

    @classmethod
    def from_dict(cls, record: Any) -> ContourChoice:
        """Inverse of `to_dict`; None is the default."""
        if record is None:
            return cls()
        if not isinstance(record, dict) or set(record) - {"method", "step"}:
            raise SeedError(f'contour {record!r} is not {{"method": one of {list(CONTOUR_METHODS)}, "step": 0}}')
        return cls(**record)


DEFAULT_CONTOUR = ContourChoice()


@dataclass(frozen=True)
class Seed:
    """A central point of one lesion and its cancer type (paper §2).

    Parameters
    ----------
    cancer_type : one of the configured types, `NO_TUMOUR`, or `BACKGROUND` for a place that is no tumour.
    position : (x, y, z) in mm RAS, near the centre of the lesion; ignored for `NO_TUMOUR`.
    index : the click [i, j, k] in voxels of the volume as stored, exactly as the viewer sent it.
    user : who clicked.
    time : when, ISO 8601 in UTC.
    id : of the request that sent it, if it has one; a request that is sent again is recorded once.
    contour : the reader's choice.

    Raises
    ------
    SeedError
        when the position or index is not three finite numbers, or the type is empty.
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
        """JSON-ready: cancer_type, index, position, user, time; id and contour where they say something."""
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
        """Inverse of `to_dict`; raises SeedError naming what is missing."""
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
    """What a reader says of one patient: the cancer type, and where its lesions are.

    Parameters
    ----------
    seeds : one for each lesion, all of one cancer type. The first is the primary tumour, which the paper's method
        learns from. `NO_TUMOUR` has one.
    background : seeds of type `BACKGROUND`: inside a lesion, what belongs to them is cut off; elsewhere they say that
        there is no tumour.
    user, time, id : of the annotation as a whole, as of `Seed`; "" is that of the first seed. The seeds keep no id.
    review : whether this is the consensus of a reviewer who saw the readings; it counts before any reading.

    Raises
    ------
    SeedError
        when there is no seed, seeds of two types, or several of `NO_TUMOUR`.
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
        """The seed that the paper's method learns from."""
        return self.seeds[0]

    @property
    def cancer_type(self) -> str:
        """Of all seeds."""
        return self.primary.cancer_type

    @property
    def position(self) -> tuple[float, float, float]:
        """Of the primary, mm RAS."""
        return self.primary.position

    @property
    def index(self) -> tuple[float, float, float] | None:
        """Of the primary, as the viewer sent it."""
        return self.primary.index

    def says_the_same(self, other: Annotation) -> bool:
        """Whether the user, the type, and the places and contours of all points are the same."""
        return (self.user, self.review, _said(self)) == (other.user, other.review, _said(other))

    def retyped(self, cancer_type: str) -> Annotation:
        """The same lesions of another type."""
        return replace(self, seeds=tuple(replace(seed, cancer_type=cancer_type) for seed in self.seeds))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: as the first seed alone; "seeds" and "background" only where these say more."""
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
        """Inverse of `to_dict`, which the record of one seed is, too; raises SeedError as the seeds do."""
        seeds = record.get("seeds") or [record]
        return cls(
            tuple(Seed.from_dict(seed) for seed in seeds),
            tuple(Seed.from_dict(seed) for seed in record.get("background", ())),
            record.get("user", ""),
            record.get("time", ""),
            record.get("id", ""),
            record.get("review") is True,
        )


def annotation_of(said: Annotation | Seed | Sequence[Seed]) -> Annotation:
    """An annotation of one seed, or of several, those of type `BACKGROUND` among them."""
    if isinstance(said, Annotation):
        return said
    seeds = [said] if isinstance(said, Seed) else list(said)
    background = tuple(seed for seed in seeds if seed.cancer_type == BACKGROUND)
    return Annotation(tuple(seed for seed in seeds if seed.cancer_type != BACKGROUND), background)


def _said(annotation: Annotation) -> list[tuple[Any, ...]]:
    return [(s.cancer_type, s.index or s.position, s.contour) for s in (*annotation.seeds, *annotation.background)]


@dataclass(frozen=True)
class Withdrawal:
    """Withdrawal of an annotation of a patient; the one before it, if any, is valid again.

    Parameters
    ----------
    user, time : as of `Annotation`.
    of : time of the annotation that is withdrawn; "" is the one that counts.
    """

    user: str
    time: str
    of: str = ""


@dataclass(frozen=True)
class Remark:
    """What a reader notes of a patient beside the annotation; the newest of each reader stands.

    Parameters
    ----------
    user, time : as of `Annotation`.
    flag : somebody else should look at this patient.
    unsure : the reader is not sure of the reading.
    comment : free text.
    """

    user: str
    time: str
    flag: bool = False
    unsure: bool = False
    comment: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        said = {"flag": self.flag, "unsure": self.unsure, "comment": self.comment}
        return {"remark": said, "user": self.user, "time": self.time}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Remark:
        """Inverse of `to_dict`."""
        said = record["remark"]
        return cls(
            str(record.get("user", "unknown")),
            str(record["time"]),
            said.get("flag") is True,
            said.get("unsure") is True,
            str(said.get("comment", "")),
        )


Said = Annotation | Withdrawal | Remark


def take_in(line: bytes, annotations: dict[str, list[Annotation]]) -> tuple[str, Said | None]:
    """Apply one record of a seed log to `annotations`: image → its valid annotations, the one that counts last.

    A reviewer's consensus counts, the newest of several; without one, the newest annotation.

    Returns
    -------
    the image and the record: an annotation, a withdrawal, a remark, or None for the removal of the image.

    Raises
    ------
    SeedError
        when the line is none of these.
    """
    try:
        record = json.loads(line)
        image = str(record["image"])
        if "removed" in record:
            annotations.pop(image, None)
            return image, None
        if "remark" in record:
            return image, Remark.from_dict(record)
        if "withdrawn" in record:
            withdrawal = Withdrawal(
                str(record.get("user", "unknown")), str(record["withdrawn"]), str(record.get("of", ""))
            )
            _withdraw(image, withdrawal, annotations)
            return image, withdrawal
        annotation = Annotation.from_dict(record)
        standing = annotations.setdefault(image, [])
        readings = len(standing) if annotation.review else sum(not said.review for said in standing)
        standing.insert(readings, annotation)
        return image, annotation
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SeedError(f"a record cannot be read: {line[:200]!r}") from error


def _withdraw(image: str, withdrawal: Withdrawal, annotations: dict[str, list[Annotation]]) -> None:
    standing = annotations.get(image, [])
    found = [n for n, said in enumerate(standing) if not withdrawal.of or said.time == withdrawal.of]
    if found:
        del standing[found[-1]]
    if not standing:
        annotations.pop(image, None)


def _three(what: str, values: Any) -> tuple[float, float, float]:
    try:
        point = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        point = ()
    if len(point) != 3 or not all(math.isfinite(v) for v in point):
        raise SeedError(f"seed {what} {values!r} is not three finite numbers; click once inside the volume")
    return point
