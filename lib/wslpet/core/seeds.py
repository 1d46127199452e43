"""Seeds, the weak supervision: one point and one cancer type per patient."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from wslpet.core.errors import SeedError

NO_TUMOUR = "no tumour"


@dataclass(frozen=True)
class Seed:
    """Annotation of one patient: a central point of the tumour and its cancer type (paper §2).

    Parameters
    ----------
    cancer_type : one of the configured types, or `NO_TUMOUR`.
    position : (x, y, z) in mm RAS, near the centre of the tumour; ignored for `NO_TUMOUR`.
    index : the click [i, j, k] in voxels of the volume as stored, exactly as the viewer sent it.
    user : who clicked.
    time : when, ISO 8601 in UTC.
    id : of the request that sent it, if it has one; a request that is sent again is recorded once.

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

    def __post_init__(self) -> None:
        if not isinstance(self.cancer_type, str) or not self.cancer_type:
            raise SeedError(f"cancer type {self.cancer_type!r} is not a name; send one of the configured types")
        object.__setattr__(self, "position", _three("position", self.position))
        if self.index is not None:
            object.__setattr__(self, "index", _three("index", self.index))
        if not self.time:
            object.__setattr__(self, "time", datetime.now(timezone.utc).isoformat(timespec="milliseconds"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: cancer_type, index, position, user, time, and id where there is one."""
        record = asdict(self)
        if not self.id:
            del record["id"]
        record["position"] = list(self.position)
        record["index"] = None if self.index is None else list(self.index)
        return record

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
        )


@dataclass(frozen=True)
class Withdrawal:
    """Withdrawal of the newest seed of a patient; the one before it, if any, is valid again.

    Parameters
    ----------
    user, time : as of `Seed`.
    """

    user: str
    time: str


def take_in(line: bytes, seeds: dict[str, list[Seed]]) -> tuple[str, Seed | Withdrawal | None]:
    """Apply one record of a seed log to `seeds`: image → its valid seeds, newest last.

    Returns
    -------
    the image and the record: a seed, a withdrawal, or None for the removal of the image.

    Raises
    ------
    SeedError
        when the line is none of these.
    """
    try:
        record = json.loads(line)
        image = str(record["image"])
        if "removed" in record:
            seeds.pop(image, None)
            return image, None
        if "withdrawn" in record:
            if len(seeds.get(image, ())) > 1:
                seeds[image].pop()
            else:
                seeds.pop(image, None)
            return image, Withdrawal(str(record.get("user", "unknown")), str(record["withdrawn"]))
        seed = Seed.from_dict(record)
        seeds.setdefault(image, []).append(seed)
        return image, seed
    except (ValueError, TypeError, KeyError) as error:
        raise SeedError(f"a record cannot be read: {line[:200]!r}") from error


def _three(what: str, values: Any) -> tuple[float, float, float]:
    try:
        point = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        point = ()
    if len(point) != 3 or not all(math.isfinite(v) for v in point):
        raise SeedError(f"seed {what} {values!r} is not three finite numbers; click once inside the volume")
    return point
