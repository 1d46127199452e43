"""Lesions as RT Structure Set, one ROI each (PS3.3 A.19)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, RTStructureSetStorage

from wslpet.core.arrays import Array
from wslpet.core.errors import DicomError
from wslpet.io.dicom.derived.lesion_segmentation import in_order
from wslpet.io.dicom.derived.lesions import ExportedLesion, SeriesLesions
from wslpet.io.dicom.derived.outlines import outlines
from wslpet.io.dicom.derived.rtstruct import LPS_TO_RAS
from wslpet.io.dicom.derived.segmentation import MAKER, complete_header, person_name

# Elements of the patient and the study that are copied from the series (type 1 to 3 of PS3.3 C.7.1, C.7.2).
_TAKEN_OVER = """
SpecificCharacterSet PatientID PatientName PatientBirthDate PatientSex StudyInstanceUID StudyID StudyDate StudyTime
AccessionNumber ReferringPhysicianName FrameOfReferenceUID PositionReferenceIndicator
"""
# Display colours by lesion, in turn, RGB.
_COLOURS = ((230, 60, 50), (245, 160, 40), (80, 190, 80), (60, 120, 230))
# SOP class of the referenced study: Study Component Management, which is retired, but readers require a class.
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"


def rtstruct(exported: SeriesLesions) -> Dataset:
    """Make a structure set with one ROI per lesion: closed contours along the pixels' edges in every slice.

    The voxels whose centres are inside the contours are those of the mask, and the contours' area times the slice
    distance is the lesion's volume.

    Raises
    ------
    DicomError
        if the series has no frame of reference.
    """
    header = complete_header(exported.header, exported.grid)
    if not header.get("FrameOfReferenceUID"):
        raise DicomError(
            f"{exported.labels.name}: its series has no Frame of Reference UID (0020,0052), which an RTSTRUCT refers "
            "to; export a DICOM SEG or NIfTI instead"
        )
    made = _empty(exported)
    for keyword in _TAKEN_OVER.split():
        if keyword in header:
            made[keyword] = header[keyword]
    made.setdefault("PositionReferenceIndicator", "")
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(exported)]
    rois = [_roi(exported, number, lesion) for number, lesion in enumerate(in_order(exported), start=1)]
    made.StructureSetROISequence = [structure for structure, _, _ in rois]
    made.ROIContourSequence = [contours for _, contours, _ in rois]
    made.RTROIObservationsSequence = [observation for _, _, observation in rois]
    exported.set_times(made)
    return made


def _empty(exported: SeriesLesions) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = UID(exported.uid("RTSTRUCT"))
    # Explicit VR has no room for contours of more than 64 KiB.
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = "RTSTRUCT", exported.uid("RTSTRUCT series"), 302
    made.SeriesDescription, made.OperatorsName = f"{MAKER} lesions", ""
    made.InstanceCreationDate = made.InstanceCreationTime = made.SeriesDate = made.SeriesTime = ""
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = MAKER, "wslpet", exported.version
    made.StructureSetLabel, made.StructureSetName, made.InstanceNumber = "LESIONS", "Lesions in FDG PET", 1
    made.StructureSetDate = made.StructureSetTime = ""
    # Nobody has approved it (PS3.3 C.8.8.16).
    made.ApprovalStatus = "UNAPPROVED"
    return made


def _frame_of_reference(exported: SeriesLesions) -> Dataset:
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = exported.header.SeriesInstanceUID
    series.ContourImageSequence = [_reference(header) for header in exported.headers]
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = exported.header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = exported.header.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(header: Dataset) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return image


def _roi(exported: SeriesLesions, number: int, lesion: ExportedLesion) -> tuple[Dataset, Dataset, Dataset]:
    structure, drawn, observation = Dataset(), Dataset(), Dataset()
    structure.ROINumber = drawn.ReferencedROINumber = observation.ReferencedROINumber = number
    structure.ReferencedFrameOfReferenceUID = exported.header.FrameOfReferenceUID
    structure.ROIName = lesion.name
    structure.ROIDescription = f"tracking UID {exported.tracking_uid(lesion)}"
    structure.ROIGenerationAlgorithm = lesion.algorithm_type
    structure.ROIGenerationDescription = f"{MAKER}, contour: {lesion.contour}"[:64]
    drawn.ROIDisplayColor = list(_COLOURS[(lesion.number - 1) % len(_COLOURS)])
    drawn.ContourSequence = list(_contours(exported, lesion))
    observation.ObservationNumber = number
    observation.RTROIInterpretedType = ""
    observation.ROIInterpreter = person_name(lesion.person) or ""
    return structure, drawn, observation


def _contours(exported: SeriesLesions, lesion: ExportedLesion) -> Iterator[Dataset]:
    for k, plane in enumerate(np.moveaxis(exported.labels.array == lesion.number, 2, 0)):
        for polygon in outlines(plane) if plane.any() else ():
            corners = np.column_stack([polygon, np.full(len(polygon), float(k))])
            contour = Dataset()
            contour.ContourImageSequence = [_reference(exported.headers[k])]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(corners)
            contour.ContourData = _decimals(exported.grid.to_world(corners) * LPS_TO_RAS)
            yield contour


def _decimals(points: Array) -> list[str]:
    """Format coordinates in mm with three decimals, at most 16 characters each (DS)."""
    return [f"{value:.3f}" for value in points.ravel()]
