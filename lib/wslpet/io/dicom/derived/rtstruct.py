"""Read RTSTRUCT contours as masks on the grid of the PET series that they were drawn on (DICOM PS3.3 C.8.8.6)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from pydicom.uid import RTStructureSetStorage

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.io.dicom.geometry import POSITION_MM
from wslpet.io.dicom.headers import Header, read_dicom
from wslpet.io.dicom.series import Series

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# Tolerance of a contour's position, in slices.
PLANE_TOLERANCE = 0.25
EXPORT = "export the structure set again, drawn on this series"


def read_rtstruct(path: str | os.PathLike[str], series: Series) -> dict[str, Volume]:
    """Read the contours of an RTSTRUCT as masks: ROI Name → uint8 (i, j, k), on the grid of the series.

    A voxel is inside when its centre is. Contours of one ROI in one slice are combined by exclusive or, so that one
    inside another is a hole. ROIs without contours are left out.

    Raises
    ------
    DicomError
        when the file is no RTSTRUCT, belongs to another frame of reference, has two ROIs of the same name, or holds
        contours that are not closed, not in the slices of the series, or outside it.
    """
    header = Header(read_dicom(Path(path)))
    if header.text("SOPClassUID") != RTStructureSetStorage:
        raise header.refusal("SOPClassUID", "not an RT Structure Set", "give the RTSTRUCT file")
    frame = Header(series.header).text("FrameOfReferenceUID")
    names = _names(header, frame)
    masks: dict[str, Volume] = {}
    for roi in header.items("ROIContourSequence", EXPORT):
        number = roi.text("ReferencedROINumber")
        if number not in names:
            raise roi.refusal("ReferencedROINumber", "the number of no ROI", EXPORT)
        if "ContourSequence" in roi.dataset:
            mask = series.volume.with_array(_mask(roi, series.volume), "label")
            masks[names[number]] = mask
    return masks


def _names(header: Header, frame: str) -> dict[str, str]:
    """ROI Number → ROI Name."""
    names: dict[str, str] = {}
    for roi in header.items("StructureSetROISequence", EXPORT):
        if roi.text("ReferencedFrameOfReferenceUID") != frame:
            raise roi.refusal("ReferencedFrameOfReferenceUID", f"not that of the series ({frame})", EXPORT)
        name = roi.name("ROIName")
        number = roi.text("ROINumber")
        if number in names or name in names.values():
            raise roi.refusal("ROIName", f"number {number}: there are two", "rename one")
        names[number] = name
    return names


def _mask(roi: Header, grid: Volume) -> Array:
    from skimage.draw import polygon  # slow to import

    mask = np.zeros(grid.shape, np.uint8)
    for contour in roi.items("ContourSequence", EXPORT):
        corners = _corners(contour, grid)
        k = round(float(corners[:, 2].mean()))
        if np.abs(corners[:, 2] - k).max() > PLANE_TOLERANCE or not 0 <= k < grid.shape[2]:
            raise contour.refusal("ContourData", "not in a slice of the series", EXPORT)
        if (corners[:, :2] < -1).any() or (corners[:, :2] > grid.shape[:2]).any():
            raise contour.refusal("ContourData", "outside the series", EXPORT)
        i, j = polygon(corners[:, 0], corners[:, 1], grid.shape[:2])
        mask[i, j, k] ^= 1
    return mask


def _corners(contour: Header, grid: Volume) -> Array:
    """(point, 3) fractional voxel indices."""
    if contour.text("ContourGeometricType") not in CLOSED:
        raise contour.refusal("ContourGeometricType", f"not {' or '.join(CLOSED)}", "export closed contours")
    count = len(contour.texts("ContourData"))
    if count < 9 or count % 3:
        raise contour.refusal("ContourData", f"{count} numbers, not three for each of 3 points or more", EXPORT)
    points = np.array(contour.numbers("ContourData", count, POSITION_MM, EXPORT)).reshape(-1, 3)
    return grid.to_index(points * LPS_TO_RAS)
