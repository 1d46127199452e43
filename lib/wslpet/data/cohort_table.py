"""Table of annotated patients: each row has a scan, a seed and a cancer type, and optional columns."""

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
# Column with the data set of a patient, in a few words, which the tables of a study repeat.
SOURCE = "source"
# Prefix of the columns with covariates.
COVARIATE = "covariate_"
TABLE = "cohort.csv"


@dataclass(frozen=True)
class Row:
    """One annotated patient.

    Parameters
    ----------
    number : number of the line; the header is line 1.
    name : name of the scan.
    scan : file of the scan, or folder of its DICOM series.
    seed : the click and the cancer type.
    patient : the patient; all scans of one patient are in the same part of a training and test split.
    mask : file of the lesion as outlined by an expert, on any grid; None without one.
    outcome : 1 for the good outcome (response, survival), 0 for the other, None if unknown.
    covariates : name → number, NaN if unknown.
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
    """Find a cohort's table: the path itself, or `cohort.csv` in a folder of scans or in `<folder>-truth` beside it.

    Raises
    ------
    InputError
        if there is none.
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
    """Read the rows of a table that can be used, and the problems of the others.

    Parameters
    ----------
    path : CSV with the columns `COLUMNS`, and optionally `OPTIONAL` and covariates; others are ignored. Paths of scans
        and masks are relative to its folder. x, y, z is the seed in mm RAS; it may be empty for "no tumour".
    types : the accepted cancer types.

    Returns
    -------
    the rows, and one message for each row that cannot be used, with its number and the remedy.

    Raises
    ------
    InputError
        if the table cannot be read, lacks a column, or has no rows.
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
    """Return the cancer types of a table without "no tumour", sorted by name; raises as `read_table`."""
    named = {record["cancer_type"] or "" for _, record in _table(Path(path)).rows}
    return tuple(sorted(named - {"", NO_TUMOUR}))


def sources_in(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the data sets that the table names for its patients, such as "phantom (plain)"; empty if it names none."""
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
        folder / mask if mask else None,  # the file is checked when it is read
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
    """Write rows in the format of `read_table`: paths relative to the table's folder, positions to 0.001 mm."""
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
