"""Import DICOM PET series with contours: RTSTRUCT, or DICOM SEG with a segment named after the cancer type.

FOLDER/**/*                                         each series in its own folder, with contours of the same study
"""

from __future__ import annotations

from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.volume import Volume
from wslpet.data.cohort_table import Row
from wslpet.data.importers.common import Imported, Options, click_in
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.derived.segmentation import read_segmentation
from wslpet.io.dicom.files import find_series
from wslpet.io.dicom.headers import Header, read_dicom
from wslpet.io.dicom.series import read_series
from wslpet.io.masks import write_mask

CLICKS = "serve the folder (make serve STUDIES=…), click there, and import its datastore"


def import_dicom(folder: Path, options: Options) -> Imported:
    """Import one row per PET series; its contours are written as masks, and the seed is simulated in them."""
    if not options.cancer_type:
        raise InputError("DICOM says no cancer type; give --type, the type of all patients in the folder")
    series = find_series(folder, "PT")
    if not series:
        raise InputError(f"{folder} holds no DICOM PET series; give the folder that they are in")
    contours = {kind: _by_study(folder, kind) for kind in ("RTSTRUCT", "SEG")}
    found = Imported()
    for home in dict.fromkeys(files[0].parent for files in series.values()):
        try:
            found.rows.append(_row(home, contours, options, options.cancer_type, len(found.rows) + 2))
        except InputError as error:
            found.problems.append(f"{home.relative_to(folder)}: {error}")
    return found


def _by_study(folder: Path, modality: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for files in find_series(folder, modality).values():
        for path in files:
            study = Header(read_dicom(path, ["StudyInstanceUID"])).text("StudyInstanceUID")
            found.setdefault(study, []).append(path)
    return found


def _row(home: Path, contours: dict[str, dict[str, list[Path]]], options: Options, cancer_type: str, line: int) -> Row:
    series = read_series(home)
    header = Header(series.header)
    patient, study = header.text("PatientID"), header.text("StudyInstanceUID")
    name = f"{patient or home.name}_{header.text('SeriesInstanceUID')[-8:]}"
    named: dict[str, Volume] = {}
    for path in contours["RTSTRUCT"].get(study, []):
        named |= read_rtstruct(path, series)
    for path in contours["SEG"].get(study, []):
        named[cancer_type] = read_segmentation(path, series.volume, {cancer_type: 1})
    mask = _chosen(named, options.roi)
    seed = Seed(cancer_type, click_in(mask, name, options.jitter_mm), user="drawn in the mask")
    options.masks.mkdir(parents=True, exist_ok=True)
    path = options.masks / f"{name}.nii.gz"
    write_mask(mask, path)
    return Row(line, name, home, seed, patient or name, path)


def _chosen(named: dict[str, Volume], roi: str | None) -> Volume:
    if not named:
        raise InputError(f"no contour belongs to its study; {CLICKS}")
    wanted = roi or (next(iter(named)) if len(named) == 1 else "")
    if wanted not in named:
        raise InputError(
            f"of the contours {', '.join(sorted(named))} none is {wanted!r}; say with --roi which one is the lesion"
        )
    return named[wanted]
