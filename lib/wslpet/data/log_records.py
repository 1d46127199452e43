"""Records of a server's log of annotations: annotations, withdrawals, remarks, and removals of an image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wslpet.core.errors import SeedError
from wslpet.core.seeds import Annotation


@dataclass(frozen=True)
class Withdrawal:
    """Withdrawal of a patient's annotation. The annotation before it, if there is one, is valid again.

    Parameters
    ----------
    user : name of the person who withdrew it.
    time : time of the withdrawal, ISO 8601 in UTC.
    of : time of the annotation that is withdrawn; "" for the one in force.
    """

    user: str
    time: str
    of: str = ""


@dataclass(frozen=True)
class Remark:
    """A reader's remark on a patient, beside the annotation. A reader's newest remark replaces the earlier ones.

    Parameters
    ----------
    user, time : as in `Annotation`.
    flag : whether somebody else should look at this patient.
    unsure : whether the reader is unsure of the reading.
    comment : free text.
    """

    user: str
    time: str
    flag: bool = False
    unsure: bool = False
    comment: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the remark as JSON-ready values."""
        content = {"flag": self.flag, "unsure": self.unsure, "comment": self.comment}
        return {"remark": content, "user": self.user, "time": self.time}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Remark:
        """Inverse of `to_dict`."""
        content = record["remark"]
        return cls(
            str(record.get("user", "unknown")),
            str(record["time"]),
            content.get("flag") is True,
            content.get("unsure") is True,
            str(content.get("comment", "")),
        )


LogRecord = Annotation | Withdrawal | Remark


def apply_record(line: bytes, annotations: dict[str, list[Annotation]]) -> tuple[str, LogRecord | None]:
    """Apply one line of the log to `annotations`: image → its valid annotations, the one in force last.

    The annotation in force is the newest consensus of a reviewer or, without one, the newest annotation.

    Returns
    -------
    the image and its record: an annotation, a withdrawal, a remark, or None for the removal of the image.

    Raises
    ------
    SeedError
        if the line is not one of these records.
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
        valid = annotations.setdefault(image, [])
        place = len(valid) if annotation.review else sum(not other.review for other in valid)
        valid.insert(place, annotation)
        return image, annotation
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SeedError(f"a record cannot be read: {line[:200]!r}") from error


def _withdraw(image: str, withdrawal: Withdrawal, annotations: dict[str, list[Annotation]]) -> None:
    valid = annotations.get(image, [])
    found = [n for n, annotation in enumerate(valid) if not withdrawal.of or annotation.time == withdrawal.of]
    if found:
        del valid[found[-1]]
    if not valid:
        annotations.pop(image, None)


def read_log(path: Path) -> tuple[dict[str, list[Annotation]], list[str]]:
    """Read a whole log.

    Returns
    -------
    image → its valid annotations, the one in force last; and one message for each line that cannot be read.
    """
    annotations: dict[str, list[Annotation]] = {}
    problems = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            apply_record(line, annotations)
        except SeedError as error:
            problems.append(f"row {number} of {path}: {error}; delete the line")
    return annotations, problems
