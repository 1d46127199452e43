"""HECKTOR 2022, head and neck tumours (Andrearczyk et al. 2023, LNCS 13626).

FOLDER/imagesTr/<patient>__PT.nii.gz                in SUV
FOLDER/labelsTr/<patient>.nii.gz                    1 the primary, 2 nodes; on the CT's grid
FOLDER/hecktor2022_clinical_info_training.csv       PatientID, Gender, Age, Weight, ...
FOLDER/hecktor2022_endpoint_training.csv            PatientID, Relapse, RFS (days)
"""

from __future__ import annotations

import math
from pathlib import Path

from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.data.cohort_table import Row
from wslpet.data.importers.common import Imported, Options, click_in, male, number, read_csv
from wslpet.io.masks import read_mask

PET_END = "__PT.nii.gz"
COVARIATES = {"age": "Age", "weight_kg": "Weight", "hpv": "HPV status (0=-, 1=+)"}
Table = dict[str, tuple[int, dict[str, str]]]


def import_hecktor(folder: Path, options: Options) -> Imported:
    """Import one row per patient; the outcome is 1 without relapse at the horizon, 0 with.

    Patients with a shorter follow-up without relapse have no outcome.
    """
    scans = sorted((folder / "imagesTr").glob(f"*{PET_END}"))
    if not scans:
        raise InputError(f"{folder / 'imagesTr'} holds no *{PET_END}; give the folder of HECKTOR's training set")
    clinical, endpoint = (
        _table(folder, "clinical_info", ("PatientID",)),
        _table(folder, "endpoint", ("PatientID", "Relapse", "RFS")),
    )
    found = Imported()
    for scan in scans:
        name = scan.name.removesuffix(PET_END)
        try:
            found.rows.append(_row(scan, name, clinical, endpoint, options, len(found.rows) + 2))
        except InputError as error:
            found.problems.append(f"{name}: {error}")
    return found


def _table(folder: Path, what: str, columns: tuple[str, ...]) -> Table:
    paths = sorted(folder.glob(f"*{what}*.csv"))
    return {record["PatientID"]: (n, record) for path in paths[:1] for n, record in read_csv(path, columns)}


def _row(scan: Path, name: str, clinical: Table, endpoint: Table, options: Options, line: int) -> Row:
    mask = scan.parents[1] / "labelsTr" / f"{name}.nii.gz"
    labels = read_mask(mask)
    primary = labels.with_array((labels.array == 1).astype("uint8"))
    seed = Seed(
        options.cancer_type or "head and neck",
        click_in(primary if primary.array.any() else labels, name, options.jitter_mm),
        user="drawn in the mask",
    )
    known = clinical.get(name, (0, {}))[1]
    covariates = {short: number(known.get(column, "")) for short, column in COVARIATES.items()}
    covariates["male"] = male(known.get("Gender", ""))
    return Row(line, name, scan, seed, name, mask, _outcome(name, endpoint, options.horizon_days), covariates)


def _outcome(name: str, endpoint: Table, horizon_days: float) -> int | None:
    if name not in endpoint:
        return None
    row, record = endpoint[name]
    days, relapse = number(record["RFS"]), record["Relapse"]
    if relapse not in ("0", "1", "0.0", "1.0") or math.isnan(days):
        raise InputError(
            f"row {row} of the endpoints: Relapse {relapse!r}, RFS {record['RFS']!r}; write 0 or 1, and days"
        )
    if days >= horizon_days:
        return 1
    return 0 if float(relapse) == 1 else None
