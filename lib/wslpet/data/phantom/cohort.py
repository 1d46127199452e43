"""Cohorts of phantom patients on disk."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.data.phantom.body.anatomy import stream
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.data.phantom.disease.outcome import draw_outcome
from wslpet.data.phantom.patient import CLICK_SD_MM, Patient, make_patient
from wslpet.data.phantom.settings import CohortSettings, PhantomError

COLUMNS = (
    "name", "scan", "cancer_type", "x", "y", "z", "mask", "arms", "fov", "scanner", "mimics", "site",
    "volume_ml", "suv_max", "nodes", "orientation", "seed", "heterogeneity", "outcome", "outcome_probability",
    "source",
)  # fmt: skip
ORIENTATIONS = ("RAS", "LPS", "LAS", "RPI", "PIR", "SRA", "ALS", "LIP")
SEEDS_PER_COHORT = 100_000


def write_cohort(
    folder: Path,
    n: int,
    seed: int,
    settings: CohortSettings,
    orientation: str = "mixed",
    jitter_mm: float = CLICK_SD_MM,
    workers: int = 1,
    progress: Callable[[int, int], Any] | None = None,
    dicom: bool = False,
) -> list[dict[str, Any]]:
    """Write `n` patients: scans in `folder`, true masks and cohort.csv in `<folder>-truth` beside it.

    Scans are NIfTI files, int16 with a slope (error at most 0.5 % from SUV 0.5 up); masks are uint8.

    Parameters
    ----------
    seed : random seed; another seed gives other patients.
    orientation : NIfTI axis code such as "RAS", or "mixed" for a random one, and a random origin, for each patient.
    jitter_mm : SD per axis of the click.
    workers : number of processes.
    progress : called with (patients done, n) after each patient.
    dicom : write each scan as a folder with a DICOM PET series in Bq/ml. The order of the instances (along the slices
        or against them) and the patient position (head or feet first) alternate.

    Returns
    -------
    the rows of cohort.csv. x, y, z is the simulated click in mm RAS; the outcome is simulated (`disease.outcome`);
    paths are relative to the folder of cohort.csv.

    Raises
    ------
    PhantomError
        if the orientation is not an axis code.
    """
    if orientation != "mixed":
        _check_orientation(orientation)
    folder = Path(folder)
    truths = folder.with_name(folder.name + "-truth")
    folder.mkdir(parents=True, exist_ok=True)
    truths.mkdir(parents=True, exist_ok=True)
    one = partial(_write_one, folder, truths, seed, settings, orientation, jitter_mm, dicom)
    rows = []
    for row in _map(one, range(n), workers):
        rows.append(row)
        if progress is not None:
            progress(len(rows), n)
    with open(truths / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def oriented(volume: Volume, code: str) -> Volume:
    """Reorient a volume to an axis code such as "LPS"; returns a contiguous copy."""
    _check_orientation(code)
    target = nib.orientations.axcodes2ornt(code)
    current = nib.orientations.io_orientation(volume.affine)
    transform = nib.orientations.ornt_transform(current, target)
    array = np.ascontiguousarray(nib.orientations.apply_orientation(volume.array, transform))
    affine = volume.affine @ nib.orientations.inv_ornt_aff(transform, volume.shape)
    return Volume(array, affine, volume.unit, volume.name)


def save_scan(volume: Volume, path: Path) -> None:
    """Write a scan in SUV as NIfTI, int16 with one slope for all slices."""
    slope = max(float(volume.array.max()), 1.0) / 32767
    image = nib.Nifti1Image(np.round(volume.array / np.float32(slope)).astype(np.int16), volume.affine)
    image.header.set_xyzt_units("mm")
    # If a slope is set, nibabel writes the integers unchanged.
    image.header.set_slope_inter(slope, 0)
    image.set_sform(volume.affine, 1)
    image.set_qform(volume.affine, 1)
    nib.save(image, path)


def save_mask(volume: Volume, path: Path) -> None:
    """Write a mask as NIfTI, uint8."""
    image = nib.Nifti1Image(volume.array.astype(np.uint8), volume.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def _write_one(
    folder: Path,
    truths: Path,
    seed: int,
    settings: CohortSettings,
    orientation: str,
    jitter_mm: float,
    dicom: bool,
    index: int,
) -> dict[str, Any]:
    patient_seed = seed * SEEDS_PER_COHORT + index
    patient = make_patient(patient_seed, settings, jitter_mm=jitter_mm)
    name = f"patient-{index:04d}"
    code = orientation
    shift: Array = np.zeros(3)
    if orientation == "mixed":
        rng = stream(patient_seed, "orientation")
        code, shift = str(rng.choice(ORIENTATIONS)), rng.uniform(-250, 250, size=3)
    scan, mask = (_stored(volume, shift, code, name) for volume in (patient.volume, patient.truth))
    scan_name = name if dicom else f"{name}.nii.gz"
    if dicom:
        examination = _examination(patient, ("HFS", "FFS")[index // 2 % 2])
        write_series(scan, folder / name, name, examination, descending=bool(index % 2))
    else:
        save_scan(scan, folder / scan_name)
    save_mask(mask, truths / f"{name}.nii.gz")
    position = np.array(patient.seed.position) + shift
    return {
        **_row(patient, settings),
        "name": name,
        "scan": f"../{folder.name}/{scan_name}",
        **{axis: round(float(value), 3) for axis, value in zip("xyz", position, strict=True)},
        "mask": f"{name}.nii.gz",
        "orientation": code,
        "seed": patient_seed,
    }


def _row(patient: Patient, settings: CohortSettings) -> dict[str, Any]:
    """Return the columns of cohort.csv that depend on the patient alone."""
    primary = patient.lesions[0] if patient.lesions else None
    volume_ml = sum(lesion.volume_ml for lesion in patient.lesions)
    heterogeneity, outcome = patient.description["heterogeneity"], None
    if primary is not None:
        outcome = draw_outcome(patient.description["seed"], volume_ml, heterogeneity, settings)
    return {
        "cancer_type": patient.cancer_type,
        "arms": patient.description["arms"],
        "fov": patient.description["fov"],
        "scanner": patient.description["scanner"],
        "mimics": "; ".join(patient.description["mimics"]),
        "site": patient.description["site"] or "",
        "volume_ml": "" if primary is None else round(volume_ml, 3),
        "suv_max": "" if primary is None else primary.suv_max,
        "nodes": max(len(patient.lesions) - 1, 0),
        "heterogeneity": "" if primary is None else round(heterogeneity, 4),
        "outcome": "" if outcome is None else outcome.good,
        "outcome_probability": "" if outcome is None else round(outcome.probability, 4),
        "source": f"phantom ({settings.name})",
    }


def _examination(patient: Patient, position: str) -> Examination:
    height, bmi = patient.description["height_m"], patient.description["bmi"]
    sex = patient.description["sex"][0].upper()
    return Examination(weight_kg=round(bmi * height**2, 1), size_m=height, sex=sex, position=position)


def _stored(volume: Volume, shift: Array, code: str, name: str) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += shift
    return oriented(Volume(volume.array, affine, volume.unit, name), code)


def _check_orientation(code: str) -> None:
    pairs = [set("RL"), set("AP"), set("SI")]
    if len(code) != 3 or any(sum(letter in pair for letter in code) != 1 for pair in pairs):
        raise PhantomError(f'orientation {code!r} is not an axis code; give "mixed" or one such as "RAS", "LPS", "PIR"')


def _map(function: Callable[[int], dict[str, Any]], items: Iterable[int], workers: int) -> Iterable[dict[str, Any]]:
    if workers <= 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, items)
