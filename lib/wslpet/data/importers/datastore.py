"""Import the studies folder of a server: the seeds collected on it become a cohort.

FOLDER/<image>.nii.gz, .nii, .nrrd, .mha            scans, or
FOLDER/.wslpet/series/<uid>/<uid>.nii               DICOM series in SUV, from a folder or a PACS
FOLDER/.wslpet/seeds.jsonl                          seeds
FOLDER/labels/final/<image>.*                       masks that annotators submitted

If `wslpet.core.state_folder` names another folder, all but the scans is there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import Annotation, take_in
from wslpet.core.state_folder import PRIVATE, state_folder
from wslpet.data.cohort_table import Row
from wslpet.data.importers.common import Imported, Options
from wslpet.io.itk import ITK
from wslpet.io.nifti import NIFTI


def import_datastore(folder: Path, options: Options) -> Imported:
    """Import one row for each image that has a valid seed, its newest."""
    state = state_folder(folder)
    log = state / "seeds.jsonl"
    if not log.is_file():
        raise InputError(f"{log} does not exist; give the studies folder of a server on which tumours were clicked")
    found, seeds = Imported(), dict[str, list[Annotation]]()
    for number, line in enumerate(log.read_bytes().splitlines(), start=1):
        try:
            take_in(line, seeds)
        except SeedError as error:
            found.problems.append(f"row {number} of {log.name}: {error}; delete the line")
    for image, given in sorted(seeds.items()):
        scan = _file(folder, image) or _file(state / "series" / image, image)
        if scan is None:
            found.problems.append(f"{image}: its scan is not in {folder}; put it back, or delete it on the server")
            continue
        newest = given[-1].primary
        seed = replace(newest, cancer_type=options.renamed.get(newest.cancer_type, newest.cancer_type))
        labels = folder if state == folder / PRIVATE else state
        mask = _file(labels / "labels" / "final", image)
        found.rows.append(Row(len(found.rows) + 2, image, scan, seed, image, mask))
    return found


def _file(folder: Path, image: str) -> Path | None:
    return next((path for end in NIFTI + ITK if (path := folder / f"{image}{end}").is_file()), None)
