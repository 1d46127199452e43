"""A CT as a DICOM series, in the study and frame of reference of a phantom's PET series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from tests.helpers.dicom_series import write_dicom
from wslpet.core.volume import Volume
from wslpet.data.phantom.dicom import Examination, write_series

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def write_ct(volume: Volume, folder: Path, patient: str, description: str = "CT AC", **header: object) -> list[Path]:
    """Write a volume in HU, (i, j, k) with perpendicular axes; `header` has further elements of every file."""
    files = write_series(volume, folder, patient, Examination(description=description))
    for k, file in enumerate(files):
        slice_ = pydicom.dcmread(file)
        slice_.Modality, slice_.SOPClassUID = "CT", CT_IMAGE
        slice_.file_meta.MediaStorageSOPClassUID = CT_IMAGE
        slice_.RescaleSlope, slice_.RescaleIntercept, slice_.ImageType = "1", "-1024", ["ORIGINAL", "PRIMARY", "AXIAL"]
        slice_.PixelData = (volume.array[:, :, k].T + 1024).astype(np.int16).tobytes()
        for keyword, value in header.items():
            setattr(slice_, keyword, value)
        write_dicom(slice_, file)
    return files
