"""Lesions of a series, as the writers of SEG, RTSTRUCT and SR need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume, resample_labels
from wslpet.io.dicom.derived.segmentation import MAKER


@dataclass(frozen=True)
class ExportedLesion:
    """One lesion of a DICOM object.

    Parameters
    ----------
    number : its value in the label volume.
    cancer_type : name of its cancer type.
    algorithm_type : "AUTOMATIC" (found by the network), "SEMIAUTOMATIC" (from a click) or "MANUAL" (drawn by a person).
    contour : method of its contour, such as "41 %".
    person : name of the person who clicked or drew; "" for the network.
    measures : name of a measure (`report.LESION_MEASURES`) → value.
    """

    number: int
    cancer_type: str
    algorithm_type: str = "SEMIAUTOMATIC"
    contour: str = ""
    person: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its segment, its ROI and its group of measurements."""
        return f"{self.cancer_type} {self.number}"


@dataclass(frozen=True, eq=False)
class SeriesLesions:
    """The lesions of one series.

    Parameters
    ----------
    labels : numbers of the lesions, on any grid; voxels outside the series are removed.
    grid : the series' geometry, axes (column, row, slice).
    headers : headers of the series' slices along k, without pixels.
    lesions : the lesions; one without a voxel is left out.
    stamp : identifies the annotation. The same series and stamp give the same UIDs, so that SEG, RTSTRUCT and SR refer
        to each other, and an object that is made twice is the same.
    made : time of the annotation.
    version : version of the software.
    burden : name of a measure of all lesions (`report.BURDEN_MEASURES`) → value.

    Raises
    ------
    DicomError
        if no lesion has a voxel on the series, or a label value is not the number of a lesion.
    """

    labels: Volume
    grid: Volume
    headers: Sequence[Dataset]
    lesions: tuple[ExportedLesion, ...]
    stamp: str
    made: datetime
    version: str = "1"
    burden: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = resample_labels(self.labels, self.grid)
        there = {int(value) for value in np.unique(labels.array) if value}
        if strange := sorted(there - {lesion.number for lesion in self.lesions}):
            raise DicomError(f"{self.labels.name}: label value {strange[0]} is none of the lesions; name each value")
        if not there:
            raise DicomError(
                f"{self.labels.name}: there is no lesion on the series, and DICOM knows no empty SEG, RTSTRUCT or SR; "
                "export the table instead"
            )
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "lesions", tuple(lesion for lesion in self.lesions if lesion.number in there))

    @property
    def header(self) -> Dataset:
        """Header of the first slice, for elements that all slices have in common."""
        return self.headers[0]

    def uid(self, *what: str) -> str:
        """Make the UID of an object or a lesion, named by `what`; the same each time."""
        made: str = generate_uid(entropy_srcs=[MAKER, str(self.header.SeriesInstanceUID), self.stamp, *what])
        return made

    def tracking_uid(self, lesion: ExportedLesion) -> str:
        """Tracking UID (0062,0021) of a lesion, the same in all objects of this annotation (PS3.3 C.8.20.2)."""
        return self.uid("lesion", str(lesion.number))

    def set_times(self, dataset: Dataset) -> None:
        """Set the dates and times of an object to those of the annotation, so that equal UIDs mean equal content."""
        day, clock = self.made.strftime("%Y%m%d"), self.made.strftime("%H%M%S")
        for date in ("ContentDate", "InstanceCreationDate", "SeriesDate", "StructureSetDate"):
            if date in dataset:
                setattr(dataset, date, day)
                setattr(dataset, date.replace("Date", "Time"), clock)
        for equipment in (
            dataset.get("ContributingEquipmentSequence") or ()
        ):  # highdicom names itself here, with the time
            if "ContributionDateTime" in equipment:
                equipment.ContributionDateTime = day + clock
