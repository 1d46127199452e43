"""Annotations of the scans of a folder: from the log of a server that served it, or from a cohort's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Annotation, annotation_of
from wslpet.core.settings import Settings
from wslpet.data.cohort_table import find_table, read_table, types_in
from wslpet.data.log_records import read_log
from wslpet.data.state_folder import PRIVATE, state_folder
from wslpet.io.formats.itk import ITK
from wslpet.io.formats.nifti import NIFTI


@dataclass(frozen=True)
class ScanAnnotation:
    """Annotation of one scan.

    Parameters
    ----------
    annotation : the annotation in force.
    mask : file of the mask that was submitted for it or drawn by an expert; None without one.
    is_signed : whether user and time of the annotation are known; those of a table's rows are not.
    """

    annotation: Annotation
    mask: Path | None = None
    is_signed: bool = True


def annotations_of_log(studies: Path) -> dict[str, ScanAnnotation]:
    """Read the annotations that a server collected: image → its annotation in force; empty if there is no log.

    Raises
    ------
    InputError
        if a line of the log cannot be read.
    """
    state = state_folder(studies)
    log = state / "seeds.jsonl"
    if not log.is_file():
        return {}
    annotations, problems = read_log(log)
    if problems:
        raise InputError(problems[0])
    labels = (studies if state == studies / PRIVATE else state) / "labels" / "final"
    return {image: ScanAnnotation(valid[-1], _label(labels, image)) for image, valid in annotations.items() if valid}


def annotations_of_table(cohort: Path) -> dict[Path, ScanAnnotation]:
    """Read the annotations of a cohort's table: path of the scan (resolved) → annotation; empty without a table.

    Raises
    ------
    InputError
        if rows cannot be used.
    """
    try:
        table = find_table(cohort)
    except InputError:
        return {}
    return {scan.resolve(): annotation for _, scan, annotation in scans_of_table(table)}


def scans_of_table(table: Path) -> list[tuple[str, Path, ScanAnnotation]]:
    """Read name, scan and annotation of each row of a cohort's table. Raises InputError if rows cannot be used."""
    rows, problems = read_table(table, (*types_in(table), NO_TUMOUR))
    if problems:
        raise InputError("\n  ".join([f"{table}: {len(problems)} rows cannot be used; correct them", *problems]))
    return [(row.name, row.scan, ScanAnnotation(annotation_of(row.seed), row.mask, is_signed=False)) for row in rows]


def settings_of(annotations: Mapping[object, ScanAnnotation]) -> Settings:
    """Return the default settings, with the cancer types of the annotations added."""
    defaults = Settings()
    named = {one.annotation.cancer_type for one in annotations.values()}
    types = (*defaults.types, *sorted(named - {*defaults.types, NO_TUMOUR}))
    return replace(defaults, types=types, no_tumour=NO_TUMOUR in named)


def _label(folder: Path, image: str) -> Path | None:
    return next((path for end in NIFTI + ITK if (path := folder / f"{image}{end}").is_file()), None)
