"""What is said of the scans of a folder: by the log of a server that served it, or by a cohort's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, Annotation, annotation_of, take_in
from wslpet.core.settings import Settings
from wslpet.core.state_folder import PRIVATE, state_folder
from wslpet.data.cohort_table import find_table, read_table, types_in
from wslpet.io.itk import ITK
from wslpet.io.nifti import NIFTI


@dataclass(frozen=True)
class Said:
    """Annotation of one scan.

    Parameters
    ----------
    annotation : the one that counts.
    mask : that was submitted for it or drawn by an expert; None without one.
    is_signed : whether the annotation says who made it and when; a table's rows do not.
    """

    annotation: Annotation
    mask: Path | None = None
    is_signed: bool = True


def annotations_of_log(studies: Path) -> dict[str, Said]:
    """Image → its newest valid annotation on a server; empty where the folder was never served.

    Raises
    ------
    InputError
        when a line of the log cannot be read.
    """
    state = state_folder(studies)
    log, standing = state / "seeds.jsonl", dict[str, list[Annotation]]()
    if not log.is_file():
        return {}
    for number, line in enumerate(log.read_bytes().splitlines(), start=1):
        try:
            take_in(line, standing)
        except SeedError as error:
            raise InputError(f"row {number} of {log}: {error}; delete the line") from error
    labels = (studies if state == studies / PRIVATE else state) / "labels" / "final"
    return {image: Said(said[-1], _label(labels, image)) for image, said in standing.items() if said}


def annotations_of_table(cohort: Path) -> dict[Path, Said]:
    """Scan, resolved → what its row of a cohort's table says; empty where there is no table.

    Raises
    ------
    InputError
        when rows cannot be used.
    """
    try:
        table = find_table(cohort)
    except InputError:
        return {}
    return {scan.resolve(): said for _, scan, said in scans_of_table(table)}


def scans_of_table(table: Path) -> list[tuple[str, Path, Said]]:
    """Name, scan, and what the row of a cohort's table says; raises InputError when rows cannot be used."""
    rows, problems = read_table(table, (*types_in(table), NO_TUMOUR))
    if problems:
        raise InputError("\n  ".join([f"{table}: {len(problems)} rows cannot be used; correct them", *problems]))
    return [(row.name, row.scan, Said(annotation_of(row.seed), row.mask, is_signed=False)) for row in rows]


def settings_of(said: Mapping[object, Said]) -> Settings:
    """The default settings, with the cancer types that annotations name."""
    defaults = Settings()
    named = {one.annotation.cancer_type for one in said.values()}
    types = (*defaults.types, *sorted(named - {*defaults.types, NO_TUMOUR}))
    return replace(defaults, types=types, no_tumour=NO_TUMOUR in named)


def _label(folder: Path, image: str) -> Path | None:
    return next((path for end in NIFTI + ITK if (path := folder / f"{image}{end}").is_file()), None)
