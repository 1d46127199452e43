"""Import the studies folder of a server: the seeds that were collected there become a cohort.

FOLDER/<image>.nii.gz, .nii, .nrrd, .mha            scans, or
FOLDER/.wslpet/series/<uid>/<uid>.nii               DICOM series in SUV, from a folder or a PACS
FOLDER/.wslpet/seeds.jsonl                          seeds
FOLDER/labels/final/<image>.*                       masks that annotators submitted

If `wslpet.data.state_folder` names another folder, all files but the scans are in that folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.data.cohort_table import Row
from wslpet.data.importers.common import Imported, Options
from wslpet.data.log_records import read_log
from wslpet.data.state_folder import PRIVATE, state_folder
from wslpet.io.formats.itk import ITK
from wslpet.io.formats.nifti import NIFTI


def import_datastore(folder: Path, options: Options) -> Imported:
    """Import one row for each image with a valid annotation: the primary seed of the annotation in force."""
    state = state_folder(folder)
    log = state / "seeds.jsonl"
    if not log.is_file():
        raise InputError(f"{log} does not exist; give the studies folder of a server on which tumours were clicked")
    annotations, problems = read_log(log)
    found = Imported(problems=problems)
    for image, valid in sorted(annotations.items()):
        scan = _file(folder, image) or _file(state / "series" / image, image)
        if scan is None:
            found.problems.append(f"{image}: its scan is not in {folder}; put it back, or delete it on the server")
            continue
        newest = valid[-1].primary
        seed = replace(newest, cancer_type=options.renamed.get(newest.cancer_type, newest.cancer_type))
        labels = folder if state == folder / PRIVATE else state
        mask = _file(labels / "labels" / "final", image)
        found.rows.append(Row(len(found.rows) + 2, image, scan, seed, image, mask))
    return found


def _file(folder: Path, image: str) -> Path | None:
    return next((path for end in NIFTI + ITK if (path := folder / f"{image}{end}").is_file()), None)
