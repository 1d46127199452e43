"""A cohort of tiny scans with one hot ellipsoid each: off-centre, in every orientation, with masks and outcomes."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.helpers.blobs import STORAGES, ellipsoid, empty, scan, stored_as

CENTRES = {"lung": (-30.0, 8.0, 36.0), "oesophagus": (4.0, -16.0, -24.0)}
RADII = (14.0, 12.0, 18.0)


def write_study_cohort(folder: Path, patients: int = 8, shape=(40, 32, 44), **changes) -> Path:
    """Write scans, masks and cohort.csv into a folder; `changes` replace columns of every row. Returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients):
        cancer_type = ("lung", "oesophagus")[number % 2]
        outcome = number // 2 % 2
        size = np.array(RADII) * (0.8 if outcome else 1.2)
        origin = (-90.0 + 11 * number, -60.0 - 7 * number, -85.0)
        volume = empty(shape, (4.0, 4.0, 4.0), origin)
        centre = np.array(CENTRES[cancer_type]) + np.array([11 * number, -7 * number, 3 * (number % 6) - 9])
        hot = scan(volume, [(centre, size, 9.0 + number)])
        truth = volume.with_array(ellipsoid(volume, centre, size).astype(np.uint8), "label")
        storage = STORAGES[(11 * number) % len(STORAGES)]
        for name, part in (("scan", hot), ("mask", truth)):
            stored = stored_as(part, *storage)
            nib.save(nib.Nifti1Image(stored.array, stored.affine), folder / f"p{number}-{name}.nii.gz")
        x, y, z = centre + np.array([3.0, -2.0, 2.0])
        row = {
            "name": f"p{number}",
            "scan": f"p{number}-scan.nii.gz",
            "cancer_type": cancer_type,
            "x": x,
            "y": y,
            "z": z,
        }
        row |= {"mask": f"p{number}-mask.nii.gz", "outcome": outcome, "source": "phantom (blobs)"}
        rows.append(row | changes)
    with open(folder / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cohort.csv"
