"""Lesions as DICOM SEG, one segment each (PS3.3 A.51)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
from pydicom.dataset import Dataset

from wslpet.core.errors import DicomError
from wslpet.io.dicom.derived.lesions import ExportedLesion, SeriesLesions
from wslpet.io.dicom.derived.segmentation import MAKER, complete_header, person_name
from wslpet.io.dicom.derived.segmentation_writing import segment_description
from wslpet.io.dicom.headers import write_dicom


def lesion_segmentation(exported: SeriesLesions) -> Dataset:
    """Make a segmentation with one binary segment per lesion, in the order of their numbers.

    The label of a segment is the lesion's name, so that it is not read as the mask of a cancer type. Its tracking UID
    is the same as in RTSTRUCT and SR.

    Raises
    ------
    DicomError
        if the series' headers lack elements that a SEG needs.
    """
    labels, ordered = exported.labels.array.transpose(2, 1, 0), in_order(exported)  # (slice, row, column)
    segments = np.zeros(256, np.uint8)
    segments[[lesion.number for lesion in ordered]] = np.arange(1, len(ordered) + 1)
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    person = next((lesion.person for lesion in ordered if lesion.person), "")
    try:
        segmentation = highdicom.seg.Segmentation(
            source_images=[complete_header(exported.headers[k], exported.grid) for k in used],
            pixel_array=segments[labels[used]],
            segmentation_type="BINARY",
            segment_descriptions=[_described(exported, n, one) for n, one in enumerate(ordered, start=1)],
            series_instance_uid=exported.uid("SEG series"),
            series_number=301,
            series_description=f"{MAKER} lesions",
            sop_instance_uid=exported.uid("SEG"),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name="wslpet",
            software_versions=exported.version,
            device_serial_number="0",
            content_label="LESIONS",
            content_description="Lesions in FDG PET",
            content_creator_name=person_name(person),
        )
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise DicomError(
            f"{exported.labels.name}: its series cannot be referred to by a DICOM SEG ({error})"
        ) from error
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = exported.uid("SEG dimensions")
    exported.set_times(segmentation)
    return segmentation


def in_order(exported: SeriesLesions) -> list[ExportedLesion]:
    """Return the lesions sorted by number; the first is segment 1."""
    return sorted(exported.lesions, key=lambda lesion: lesion.number)


def content(dataset: Dataset) -> bytes:
    """Return the content of an object's DICOM file."""
    written = BytesIO()
    write_dicom(dataset, written)
    return written.getvalue()


def write(dataset: Dataset, path: Path) -> None:
    """Write an object as a DICOM file."""
    path.write_bytes(content(dataset))


def _described(exported: SeriesLesions, segment: int, lesion: ExportedLesion) -> highdicom.seg.SegmentDescription:
    return segment_description(
        segment,
        lesion.name,
        lesion.number,
        lesion.algorithm_type,
        exported.version,
        tracking=(lesion.name, exported.tracking_uid(lesion)),
    )
