"""Tables of a cohort's tumour burden: one row per lesion, and one row per patient."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from wslpet.analysis.burden.body import NOTHING_KNOWN, Body
from wslpet.analysis.burden.lesions import LesionMeasures, Origin
from wslpet.analysis.burden.patient import Burden, burden_of
from wslpet.io.tables import decimals, guarded

# Columns that identify the scan: the image's name, and elements of a series' DICOM header, which are empty for files.
FACTS = ("PatientID", "StudyDate", "SeriesInstanceUID", "SeriesDescription")
SCAN_COLUMNS = ("image", *FACTS)
_MEASURES = ("volume_ml", "suv_max", "suv_peak", "suv_mean", "tlg", "sul_max", "sul_peak", "sul_mean", "tlg_sul")
_ORIGIN = ("source", "contour", "contour_step", "user", "time")
LESION_COLUMNS = (
    *SCAN_COLUMNS,
    *("lesion", "cancer_type", "x_mm", "y_mm", "z_mm", "i", "j", "k", "voxels"),
    *_MEASURES,
    *_ORIGIN,
)
_BURDEN = tuple(Burden.__dataclass_fields__)
_BODY = ("weight_kg", "height_m", "sex", "lean_body_mass_kg", "body_surface_m2")
PATIENT_COLUMNS = (*SCAN_COLUMNS, "state", "reason", "cancer_type", *_BURDEN, *_BODY, *_ORIGIN)
# Columns of free text.
TEXT_COLUMNS = frozenset({*SCAN_COLUMNS, "reason", "cancer_type", "contour", "user", "time", "sex"})
# Digits of a measure in tables and reports: more than any scanner has, and few enough to be read.
DIGITS = 6
# A number as these tables have it.
_DECIMAL = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")

State = Literal["measured", "no tumour", "not annotated", "failed"]


@dataclass(frozen=True)
class PatientRecord:
    """Content of the tables for one scan.

    Parameters
    ----------
    image : name of the image.
    facts : keyword of `FACTS` → text, for a DICOM series.
    state : "measured"; "no tumour" if a reader recorded that or no lesion was found; "not annotated"; "failed".
    reason : reason for "failed", as a sentence.
    lesions : measures of the lesions, by number.
    body : weight, height and sex of the patient.
    origin : origin of the patient's annotation, with lesions or without; None without an annotation.
    """

    image: str
    facts: Mapping[str, str] = field(default_factory=dict)
    state: State = "not annotated"
    reason: str = ""
    lesions: tuple[LesionMeasures, ...] = ()
    body: Body = NOTHING_KNOWN
    origin: Origin | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def unsigned(self) -> PatientRecord:
        """Return the record without user and time, for an annotation that has neither."""
        lesions = tuple(replace(one, origin=replace(one.origin, user="", time="")) for one in self.lesions)
        origin = None if self.origin is None else replace(self.origin, user="", time="")
        return replace(self, lesions=lesions, origin=origin)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PatientRecord:
        """Inverse of `to_dict`, also after JSON."""
        lesions = tuple(
            LesionMeasures(
                **{
                    **lesion,
                    "origin": Origin(**lesion["origin"]),
                    "position": tuple(lesion["position"]),
                    "index": tuple(lesion["index"]),
                }
            )
            for lesion in record["lesions"]
        )
        origin = None if record["origin"] is None else Origin(**record["origin"])
        return cls(**{**record, "lesions": lesions, "body": Body(**record["body"]), "origin": origin})


def rounded(value: float) -> float:
    """Round a measure to the number of digits in tables and reports."""
    return float(f"{value:.{DIGITS}g}")


def lesion_rows(record: PatientRecord) -> list[dict[str, str]]:
    """Column of `LESION_COLUMNS` → text, a row for each lesion."""
    return [_guarded({**_scan(record), **_lesion(lesion)}) for lesion in record.lesions]


def patient_row(record: PatientRecord) -> dict[str, str]:
    """Column of `PATIENT_COLUMNS` → text.

    Where nothing was measured (not annotated, failed) the numbers are empty, which statistics programs read as
    missing. A patient without a tumour has 0 lesions of 0 ml, and no SUVmax.
    """
    measured = record.state in ("measured", "no tumour")
    burden = asdict(burden_of(record.lesions, record.body)) if measured else dict.fromkeys(_BURDEN)
    body, lean = record.body, record.body.sul_factor
    return _guarded(
        {
            **_scan(record),
            "state": record.state,
            "reason": record.reason,
            "cancer_type": record.origin.cancer_type if record.origin else "",
            **{name: _text(value) for name, value in burden.items()},
            "weight_kg": _text(body.weight_kg),
            "height_m": _text(body.size_m),
            "sex": body.sex,
            "lean_body_mass_kg": _text(None if lean is None or body.weight_kg is None else lean * body.weight_kg),
            "body_surface_m2": _text(body.surface_m2),
            **_origin(record.origin),
        }
    )


def lesions_csv(records: Iterable[PatientRecord], separator: str = ",") -> bytes:
    """One row per lesion; see `as_csv`."""
    return as_csv(LESION_COLUMNS, (row for record in records for row in lesion_rows(record)), separator)


def patients_csv(records: Iterable[PatientRecord], separator: str = ",") -> bytes:
    """One row per patient; see `as_csv`."""
    return as_csv(PATIENT_COLUMNS, map(patient_row, records), separator)


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]], separator: str = ",") -> bytes:
    """Return a table in UTF-8; see `csv_lines` and `needs_mark`."""
    text = "".join(csv_lines(columns, rows, separator))
    return text.encode("utf-8-sig" if needs_mark(separator, text.isascii()) else "utf-8")


def needs_mark(separator: str, is_ascii: bool) -> bool:
    """Whether a table begins with a byte-order mark.

    Excel needs the mark where there are characters beyond ASCII, but R takes it for a part of the first column's name.
    A table with semicolons is for Excel.
    """
    return separator == ";" or not is_ascii


def csv_lines(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, str]],
    separator: str = ",",
    texts: Collection[str] = TEXT_COLUMNS,
) -> Iterator[str]:
    """Yield the header and the rows as lines of CSV, one at a time.

    Parameters
    ----------
    separator : between the cells; with a semicolon, numbers have a decimal comma, as `decimals` writes it.
    texts : columns that hold no numbers; text that looks like a number stays as it is.
    """
    line = io.StringIO()
    writer = csv.DictWriter(line, columns, delimiter=separator, lineterminator="\r\n")
    for row in chain([dict(zip(columns, columns, strict=True))], rows):
        line.seek(0)
        line.truncate()
        writer.writerow(
            {
                name: decimals(cell, separator) if name not in texts and _DECIMAL.fullmatch(cell) else cell
                for name, cell in row.items()
            }
        )
        yield line.getvalue()


def _scan(record: PatientRecord) -> dict[str, str]:
    return {"image": record.image, **{name: record.facts.get(name, "") for name in FACTS}}


def _lesion(lesion: LesionMeasures) -> dict[str, str]:
    places = zip(("x_mm", "y_mm", "z_mm", "i", "j", "k"), (*lesion.position, *lesion.index), strict=True)
    return {
        "lesion": str(lesion.number),
        "cancer_type": lesion.origin.cancer_type,
        **{name: f"{value:.2f}" for name, value in places},
        "voxels": str(lesion.voxels),
        **{name: _text(getattr(lesion, name)) for name in _MEASURES},
        **_origin(lesion.origin),
    }


def _origin(origin: Origin | None) -> dict[str, str]:
    if origin is None:
        return dict.fromkeys(_ORIGIN, "")
    values = (origin.source, origin.method, f"{origin.step:d}", origin.user, origin.time)
    return dict(zip(_ORIGIN, values, strict=True))


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"


def _guarded(row: dict[str, str]) -> dict[str, str]:
    """Guard free text against formula injection; numbers, which may begin with a minus, are unchanged."""
    return {name: guarded(text) if name in TEXT_COLUMNS else text for name, text in row.items()}
