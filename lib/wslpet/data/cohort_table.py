"""Annotated patients as a table: one row, one scan, one seed, one cancer type, and what else is known."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.io.tables import Table, parse_table

COLUMNS = ("name", "scan", "cancer_type", "x", "y", "z")
OPTIONAL = ("patient", "mask", "outcome")
# Where a patient comes from, in a word or two: every table of a study says so.
SOURCE = "source"
# A column of this beginning is a covariate.
COVARIATE = "covariate_"
TABLE = "cohort.csv"


@dataclass(frozen=True)
class Row:
    """One annotated patient.

    Parameters
    ----------
    number : line of the table, the header being 1.
    name : of the patient.
    scan : its file, or the folder of its DICOM series.
    seed : the click and the cancer type.
    patient : whom the scan is of; scans of one patient are never divided between training and test.
    mask : the lesion as an expert outlined it, on the scan's grid or another, where there is one.
    outcome : 1 for the good one (response, survival), 0 for the other, None where it is not known.
    covariates : name → number; NaN where it is not known.
    """

    number: int
    name: str
    scan: Path
    seed: Seed
    patient: str = ""
    mask: Path | None = None
    outcome: int | None = None
    covariates: dict[str, float] = field(default_factory=dict)


def find_table(path: str | os.PathLike[str]) -> Path:
    """A table, or the `cohort.csv` of a folder of scans: in it, or in `<folder>-truth` beside it.

    Raises
    ------
    InputError
        when there is none.
    """
    path = Path(path)
    places = [path / TABLE, path.with_name(f"{path.name}-truth") / TABLE] if path.is_dir() else [path]
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        f"cohort {path}: there is no {' or '.join(map(str, places))}; give a table with the columns {','.join(COLUMNS)}"
    )


def read_table(path: str | os.PathLike[str], types: tuple[str, ...]) -> tuple[list[Row], list[str]]:
    """The rows of a table that can be used, and what is wrong with the others.

    Parameters
    ----------
    path : CSV with the columns `COLUMNS`, and perhaps `OPTIONAL` and covariates; others are ignored. Scans and masks
        are relative to its folder; x, y, z is the seed in mm RAS, and may be empty where the cancer type is
        "no tumour".
    types : the cancer types that may be learned.

    Returns
    -------
    rows, and one message a bad row, with its number and the remedy.

    Raises
    ------
    InputError
        when the table cannot be read, lacks a column, or has no rows.
    """
    path = Path(path)
    table = _table(path)
    rows, problems = [], []
    for number, record in table.rows:
        try:
            rows.append(_row(number, record, path.parent, types, table.number))
        except InputError as error:
            problems.append(f"row {number}: {error}")
    return rows, problems


def types_in(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The cancer types of a table, "no tumour" not among them, by name; raises as `read_table`."""
    named = {record["cancer_type"] or "" for _, record in _table(Path(path)).rows}
    return tuple(sorted(named - {"", NO_TUMOUR}))


def sources_in(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """What the table says of where its patients come from, as "phantom (plain)"; nothing where it does not say."""
    return tuple(dict.fromkeys(text for _, record in _table(Path(path)).rows if (text := record.get(SOURCE) or "")))


def _table(path: Path) -> Table:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read as CSV ({error}); save it as comma-separated UTF-8") from error
    return parse_table(content, path.name, COLUMNS, COLUMNS)


def _row(
    number: int, record: dict[str, str | None], folder: Path, types: tuple[str, ...], as_number: Callable[[str], float]
) -> Row:
    name, scan, cancer_type, *point = (record[column] or "" for column in COLUMNS)
    if not scan:
        raise InputError("no scan; write its path, relative to the table")
    file = folder / scan
    if not file.exists():  # a DICOM series is a folder
        raise InputError(f"scan {scan} does not exist; correct the path, which is relative to the table")
    if cancer_type not in types:
        raise InputError(f"cancer type {cancer_type!r} is not one of {', '.join(types)}; correct it or configure it")
    if cancer_type == NO_TUMOUR:
        point = [value or "0" for value in point]
    try:
        position = tuple(as_number(value) for value in point)
    except ValueError:
        raise InputError(f"seed {','.join(point)!r} is not three numbers; write x,y,z in mm RAS") from None
    mask = record.get("mask") or ""
    return Row(
        number,
        name or file.name,
        file,
        Seed(cancer_type, position),  # type: ignore[arg-type]
        record.get("patient") or name or file.name,
        folder / mask if mask else None,  # read, and refused, by whoever needs it
        _outcome(record),
        {
            column.removeprefix(COVARIATE): _number(record, column, as_number)
            for column in record
            if column.startswith(COVARIATE)
        },
    )


def _outcome(record: dict[str, str | None]) -> int | None:
    outcome = record.get("outcome") or ""
    if outcome not in ("", "0", "1"):
        raise InputError(f"outcome {outcome!r} is not 1 (good), 0 or empty (not known); correct it")
    return int(outcome) if outcome else None


def _number(record: dict[str, str | None], column: str, as_number: Callable[[str], float]) -> float:
    text = record[column] or ""
    try:
        return as_number(text) if text else math.nan
    except ValueError:
        raise InputError(f"{column} {text!r} is not a number; write one, or leave it empty where not known") from None


def write_table(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write rows as `read_table` reads them: paths relative to the table's folder, positions to a micrometre."""
    folder = Path(path).parent.resolve()
    covariates = list(dict.fromkeys(name for row in rows for name in row.covariates))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, *OPTIONAL, *(COVARIATE + name for name in covariates)))
        for row in rows:
            place = ("",) * 3 if row.seed.cancer_type == NO_TUMOUR else (f"{value:.3f}" for value in row.seed.position)
            known = (row.covariates.get(name, math.nan) for name in covariates)
            writer.writerow(
                (
                    row.name,
                    os.path.relpath(row.scan.resolve(), folder),
                    row.seed.cancer_type,
                    *place,
                    row.patient,
                    "" if row.mask is None else os.path.relpath(row.mask.resolve(), folder),
                    "" if row.outcome is None else row.outcome,
                    *("" if math.isnan(value) else f"{value:g}" for value in known),
                )
            )
