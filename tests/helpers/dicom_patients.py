"""The synthetic scans as DICOM PET series, in the orders and orientations that scanners store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from nibabel.affines import apply_affine

from tests.helpers.synthetic import RADII, Scan, write_scan
from wslpet.core.volume import Volume
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.io.readers import read_volume

# Orientation of the synthetic scan, position on the table, instances from the last slice.
STORED = {
    "head_first": ("lps", "HFS", False),
    "feet_first": ("anisotropic", "FFP", False),
    "slices_upward": ("lps", "HFS", True),
    "feet_first_upward": ("anisotropic", "FFS", True),
    "oblique": ("oblique", "HFS", False),
    "off_origin": ("off_origin", "HFS", True),
}


@dataclass(frozen=True)
class Patient:
    """A series on disk, the scan that it is of, and its volume in SUV."""

    scan: Scan
    volume: Volume
    files: list[Path]

    @property
    def uid(self) -> str:
        return str(pydicom.dcmread(self.files[0], specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID)

    def in_tumour(self, positions: np.ndarray) -> np.ndarray:
        """Of positions (n, 3) in mm RAS, whether they lie in the tumour; of scans that are not tilted."""
        return (((positions - self.scan.centre) / RADII) ** 2).sum(axis=1) <= 1

    def click(self, affine: np.ndarray) -> list[int]:
        """The voxel of the tumour's centre, in a volume of this affine."""
        return np.rint(apply_affine(np.linalg.inv(affine), self.scan.centre)).astype(int).tolist()


def write_patient(
    folder: Path, name: str, stored: str = "head_first", cancer_type: str = "lung", shift=(0, 0, 0), **changes
) -> Patient:
    """`changes` are of the examination."""
    orientation, position, upward = STORED[stored]
    nifti = folder / "nifti"
    nifti.mkdir(parents=True, exist_ok=True)
    scan = write_scan(nifti, name, orientation, cancer_type, shift)
    volume = read_volume(scan.path)
    examination = replace(Examination(position=position), **changes)
    files = write_series(volume, folder / "dicom" / name, name, examination, descending=upward)
    return Patient(scan, volume, files)


def rewrite(files: list[Path], **values) -> None:
    """Change or, with None, delete attributes of every file."""
    for file in files:
        header = pydicom.dcmread(file)
        for keyword, value in values.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)
        header.save_as(file)
