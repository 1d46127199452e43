"""Phantom scans of a given size as they come from DICOM: float32 of 16-bit steps, with noise outside the body, too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.data.phantom.body.anatomy import stream

PATIENT = 7
# Mean SUV of what reconstruction leaves in the air.
AIR_SUV = 0.005


@dataclass(frozen=True)
class Sized:
    """A scan of a size. click: voxel at the tumour."""

    name: str
    shape: tuple[int, int, int]
    path: Path = Path()
    cancer_type: str = ""
    click: tuple[int, int, int] = (0, 0, 0)
    voxels: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxels", int(np.prod(self.shape)))

    @property
    def nbytes(self) -> int:
        """Of the decoded volume."""
        return 4 * self.voxels

    def as_type(self, cancer_type: str) -> Sized:
        return replace(self, cancer_type=cancer_type)


# A clinical scan on 4 mm, and one on the grid of the CT as autoPET has them.
SIZES = (Sized("pet8", (128, 128, 490)), Sized("pet52", (400, 400, 326)))


def written(folder: Path, size: Sized) -> Sized:
    """The same with its path, type and click; one patient for all sizes."""
    plain = make_patient(PATIENT, PRESETS["plain"]).volume
    extent = np.array(plain.shape) * plain.spacing
    patient = make_patient(PATIENT, PRESETS["plain"], voxel_mm=tuple(extent / size.shape))
    volume = patient.volume
    air = stream(PATIENT, "air").exponential(AIR_SUV, volume.shape).astype(np.float32)
    array = np.where(volume.array > 0, volume.array, air)
    step = array.max() / np.float32(32767)
    array = np.rint(array / step) * step
    path = size.path if size.path.name else folder / f"{size.name}.nii.gz"
    nib.save(nib.Nifti1Image(array, volume.affine), path)
    click = np.rint(Volume(array, volume.affine).to_index(np.array(patient.seed.position))).astype(int)
    return replace(size, shape=array.shape, path=path, cancer_type=patient.cancer_type, click=tuple(click.tolist()))
