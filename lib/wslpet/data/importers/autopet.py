"""autoPET: FDG-PET-CT-Lesions of TCIA as NIfTI, with its clinical metadata (Gatidis et al. 2022, Sci Data 9:601).

FOLDER/[FDG-PET-CT-Lesions/]PETCT_<subject>/<date and study>/SUV.nii.gz, SEG.nii.gz
FOLDER/*.csv                                        with "Subject ID", "diagnosis", perhaps "age", "sex",
                                                    "Study Date", "File Location"
"""

from __future__ import annotations

from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Seed
from wslpet.data.cohort_table import Row
from wslpet.data.importers.common import Imported, Options, click_in, male, number, read_csv
from wslpet.io.masks import read_mask

DIAGNOSES = {"LUNG_CANCER": "lung", "MELANOMA": "melanoma", "LYMPHOMA": "lymphoma", "NEGATIVE": NO_TUMOUR}
Records = list[tuple[int, dict[str, str]]]


def import_autopet(folder: Path, options: Options) -> Imported:
    """Import autoPET: one row per study; the seed is simulated in the largest lesion of its mask."""
    found = Imported()
    table, records = _metadata(folder)
    studies = sorted(path.parent for path in folder.glob("**/SUV.nii.gz"))
    if not studies:
        raise InputError(f"{folder} holds no SUV.nii.gz; give the folder of the PETCT_… folders, converted to NIfTI")
    for study in studies:
        try:
            found.rows.append(_row(study, table, records, options, len(found.rows) + 2))
        except InputError as error:
            found.problems.append(f"{study.relative_to(folder)}: {error}")
    return found


def _metadata(folder: Path) -> tuple[str, Records]:
    for path in sorted(folder.glob("*.csv")) + sorted(folder.parent.glob("*.csv")):
        try:
            return path.name, read_csv(path, ("Subject ID", "diagnosis"))
        except InputError:
            continue
    raise InputError(
        f"no CSV in or beside {folder} has the columns 'Subject ID' and 'diagnosis'; put the metadata there"
    )


def _row(study: Path, table: str, records: Records, options: Options, line: int) -> Row:
    subject = study.parent.name
    numbers, known = _of_study(study, subject, records, table)
    diagnosis = known["diagnosis"].upper()
    if diagnosis not in DIAGNOSES:
        raise InputError(
            f"row {numbers} of {table}: diagnosis {known['diagnosis']!r} is none of {', '.join(DIAGNOSES)}; correct it"
        )
    cancer_type, mask = DIAGNOSES[diagnosis], study / "SEG.nii.gz"
    covariates = {"age": number(known.get("age", "")), "male": male(known.get("sex", ""))}
    name = f"{subject}_{study.name}".replace(" ", "_")
    position = (0.0, 0.0, 0.0)
    if cancer_type != NO_TUMOUR:
        position = click_in(read_mask(mask), name, options.jitter_mm)
    seed = Seed(cancer_type, position, user="drawn in the mask")
    return Row(line, name, study / "SUV.nii.gz", seed, subject, mask, None, covariates)


def _of_study(study: Path, subject: str, records: Records, table: str) -> tuple[int, dict[str, str]]:
    """Metadata record of a study; a subject has one per series, and its studies may differ in diagnosis."""
    own = [(n, record) for n, record in records if record["Subject ID"] == subject]
    if not own:
        raise InputError(f"{table} has no row with Subject ID {subject}; add it, or remove the folder")
    closest = [(n, r) for n, r in own if study.name in r.get("File Location", "")] or own
    if len({record["diagnosis"] for _, record in closest}) > 1:
        rows = ", ".join(str(n) for n, _ in closest)
        raise InputError(
            f"rows {rows} of {table} differ in their diagnosis; say in 'File Location' which is this study's"
        )
    return closest[0]
