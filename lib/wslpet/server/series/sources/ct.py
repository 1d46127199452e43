"""Which CT series of a study lies under a PET: the one that covers the most, in the PET's frame of reference."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import Header, Limits

TAGS = ["SOPClassUID", "Modality", "FrameOfReferenceUID", "ImageType", "SliceThickness", "SpacingBetweenSlices"]
_THICKNESS_MM: Limits = (0.01, 100.0)


@dataclass(frozen=True)
class CtSlice:
    """What is said of a CT series by one of its slices.

    Parameters
    ----------
    frame : FrameOfReferenceUID. Only series of one frame lie at the same place without a registration
        (PS3.3 C.7.4.1).
    thickness_mm : distance of the slices, or their thickness; 1 where the header says neither.
    """

    frame: str
    thickness_mm: float


def ct_slice(header: Dataset) -> CtSlice | None:
    """Return what one header says of a CT; None if it is no CT of slices, or a localizer."""
    read = Header(header)
    if read.text("Modality") != "CT" or read.text("SOPClassUID") != CTImageStorage:
        return None
    if "LOCALIZER" in read.texts("ImageType") or not read.text("FrameOfReferenceUID"):
        return None
    return CtSlice(read.text("FrameOfReferenceUID"), _thickness_mm(read))


def _thickness_mm(read: Header) -> float:
    for tag in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            found = read.optional_number(tag, _THICKNESS_MM, "")
        except DicomError:
            continue
        if found is not None:
            return found
    return 1.0
