"""`wslpet burden`: measure the tumour burden of each scan of a folder; writes lesions.csv and patients.csv."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wslpet.cli.commands.segment import loaded, scans_below
from wslpet.core import parallel
from wslpet.core.errors import InputError
from wslpet.method.shipped import SHIPPED_MODEL

if TYPE_CHECKING:
    from wslpet.analysis.burden.body import Body
    from wslpet.analysis.burden.tables import PatientRecord
    from wslpet.core.settings import Settings
    from wslpet.core.volume import Volume
    from wslpet.data.annotated_scans import ScanAnnotation
    from wslpet.io.dicom.series import Series
    from wslpet.method.burden import MeasuredScan

FORMS = {"nifti": "-lesions.nii.gz", "seg": "-seg.dcm", "rtstruct": "-rtstruct.dcm", "sr": "-sr.dcm"}


def add_to(commands: Any) -> None:
    """Add the subcommand's parser."""
    burden = commands.add_parser("burden", help="measure lesions and tumour burden of scans, as two CSV tables")
    burden.add_argument("folder", type=Path, help="of scans in SUV and DICOM series, or a cohort's table")
    burden.add_argument(
        "--model",
        type=Path,
        metavar="MODEL.pt",
        help="finds the lesions of scans that nobody annotated; default: the shipped weights",
    )
    burden.add_argument("--annotated", action="store_true", help="measure scans with an annotation only")
    burden.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="default: where you are")
    burden.add_argument(
        "--export", nargs="+", default=[], choices=FORMS, metavar="FORM", help=f"lesions as files: {', '.join(FORMS)}"
    )
    burden.add_argument(
        "--decimal-comma",
        action="store_true",
        help="tables with semicolons and decimal commas, as Excel in German, French and other languages opens them",
    )
    parallel.add_options(burden)
    burden.set_defaults(command=run)


@dataclass(frozen=True)
class _Task:
    """One scan: its name, its file or the folder of its series, elements of its header, and its annotation."""

    name: str
    path: Path
    facts: dict[str, str]
    said: ScanAnnotation | None


def run(args: argparse.Namespace) -> int:
    """Measure the scans; returns 2 if one failed, after a message for each."""
    from tqdm import tqdm

    from wslpet.analysis.burden.tables import PatientRecord, lesions_csv, patients_csv
    from wslpet.core.atomic_io import replacing
    from wslpet.data.annotated_scans import settings_of
    from wslpet.method.network.checkpoint import load_model

    tasks = _tasks(args.folder)
    _check_forms(args.export, tasks)
    weights = None
    if not args.annotated and (unsaid := [task for task in tasks if task.said is None]):
        weights = (args.model or SHIPPED_MODEL).resolve()
        load_model(weights)  # a damaged file is reported once, not for each scan
        print(f"{len(unsaid)} of {len(tasks)} scans have no annotation; their lesions are found by the model")
    args.out.mkdir(parents=True, exist_ok=True)
    settings = settings_of({task.name: task.said for task in tasks if task.said is not None})
    forms, out = tuple(args.export), args.out.resolve()
    one = partial(_measured, settings=settings, weights=weights, forms=forms, out=out)
    answers = parallel.over(one, tasks, args.workers, args.scheduler)
    records: list[PatientRecord] = []
    for task, answer in tqdm(zip(tasks, answers, strict=True), total=len(tasks), unit="scan", desc="burden"):
        if isinstance(answer, InputError):
            tqdm.write(f"{task.name}: {answer}", file=sys.stderr)
            answer = PatientRecord(task.name, task.facts, "failed", str(answer))
        records.append(answer)
    separator = ";" if args.decimal_comma else ","
    for name, table in (("lesions.csv", lesions_csv), ("patients.csv", patients_csv)):
        with replacing(args.out / name) as part:
            part.write_bytes(table(records, separator))
    failed = sum(record.state == "failed" for record in records)
    lesions = sum(len(record.lesions) for record in records)
    print(f"{args.out / 'lesions.csv'}: {lesions} lesions; patients.csv: {len(records)} scans, {failed} failed")
    return 2 if failed else 0


def _tasks(folder: Path) -> list[_Task]:
    """Return the scans by name, with their annotations from the log of a server or from a table."""
    from wslpet.data.annotated_scans import annotations_of_log, annotations_of_table, scans_of_table

    if folder.is_file():
        return [_task(name, scan, said) for name, scan, said in scans_of_table(folder)]
    if not folder.is_dir():
        raise InputError(f"{folder} is neither a folder of scans nor a cohort's table; name one")
    scans = scans_below(folder)
    if not scans:
        raise InputError(f"folder {folder} holds no scan; give another")
    log, table = annotations_of_log(folder), annotations_of_table(folder)
    tasks = [_task(name, path, table.get(path.resolve())) for name, path in sorted(scans.items())]
    # On a server, the name of a series is its UID.
    return [replace(one, said=log.get(one.facts.get("SeriesInstanceUID", one.name)) or one.said) for one in tasks]


def _task(name: str, path: Path, said: ScanAnnotation | None) -> _Task:
    return _Task(name, path.resolve(), _facts(path) if path.is_dir() else {}, said)


def _facts(series: Path) -> dict[str, str]:
    """Return elements of a series' header (`FACTS`); "" for those that are missing."""
    from wslpet.analysis.burden.tables import FACTS
    from wslpet.io.dicom.files import find_series
    from wslpet.io.dicom.headers import Header, read_dicom

    found = find_series(series, "PT").values()
    first = next((files[0] for files in found if files[0].parent == series), None)
    if first is None:
        return {}  # the error is reported when the series is read
    header = Header(read_dicom(first, ["SpecificCharacterSet", *FACTS]))
    return {name: header.name(name) for name in FACTS}


def _check_forms(forms: Sequence[str], tasks: Sequence[_Task]) -> None:
    files = [task.name for task in tasks if not task.path.is_dir()]
    dicom = [form for form in forms if form != "nifti"]
    if files and dicom:
        raise InputError(
            f"--export {' '.join(dicom)}: {files[0]} is a file, no DICOM series that a DICOM object could refer to; "
            "export nifti, or give DICOM series only"
        )


def _measured(
    task: _Task, settings: Settings, weights: Path | None, forms: tuple[str, ...], out: Path
) -> PatientRecord:
    """Measure one scan, and export its lesions. Any failure is raised as InputError."""
    from wslpet.analysis.burden.body import NOTHING_KNOWN, body_of
    from wslpet.analysis.burden.tables import PatientRecord
    from wslpet.io.dicom.series import read_series
    from wslpet.io.readers import read_volume

    if task.said is None and weights is None:
        return PatientRecord(task.name, task.facts)
    try:
        series = read_series(task.path) if task.path.is_dir() else None
        body = NOTHING_KNOWN if series is None else body_of(series.header)
        volume = read_volume(task.path) if series is None else series.volume
        scan = _burden(task, volume, settings, weights, body)
        for form in forms if scan.record.lesions else ():
            _export(scan, form, series, out / f"{task.name}{FORMS[form]}")
    except (OSError, MemoryError, ArithmeticError, LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{task.path.name} cannot be measured ({type(error).__name__}: {error})") from error
    return scan.record


def _burden(task: _Task, volume: Volume, settings: Settings, weights: Path | None, body: Body) -> MeasuredScan:
    from wslpet.io.masks import read_mask
    from wslpet.method.burden import annotated_burden, found_burden, is_of_mask

    said = task.said
    if said is None:
        assert weights is not None
        return found_burden(task.name, volume, loaded(weights), body, task.facts)
    mask = None if said.mask is None else read_mask(said.mask, volume)
    if mask is not None and said.is_signed and not is_of_mask(said.annotation, mask):
        mask = None  # the annotation in force is newer than the mask
    scan = annotated_burden(task.name, volume, said.annotation, settings, mask, body, task.facts)
    return scan if said.is_signed else replace(scan, record=scan.record.unsigned())


def _export(scan: MeasuredScan, form: str, series: Series | None, path: Path) -> None:
    import pydicom

    import wslpet
    from wslpet.analysis.burden.exports import dicom_object, series_lesions
    from wslpet.io.dicom.derived.lesion_segmentation import write
    from wslpet.io.masks import write_mask

    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "nifti":
        write_mask(scan.labels, path)
        return
    assert series is not None  # `_check_forms`
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in series.files]
    stamp = repr(scan.record.lesions)
    exported = series_lesions(scan.record, scan.labels, series.volume, headers, stamp, wslpet.__version__)
    write(dicom_object(form, exported), path)
