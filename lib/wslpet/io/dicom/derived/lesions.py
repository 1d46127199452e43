"""Lesions of a series on their way into DICOM objects: what SEG, RTSTRUCT and SR have in common."""

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
    """One lesion as DICOM objects tell of it.

    Parameters
    ----------
    number : its value in the label volume.
    cancer_type : its name.
    algorithm_type : "AUTOMATIC" (found by the network), "SEMIAUTOMATIC" (from a click) or "MANUAL" (drawn by a person).
    contour : how its contour was made, in a word or two.
    person : who clicked or drew; "" if nobody.
    measures : name of a measure (`report.LESION_MEASURES`) → its value.
    """

    number: int
    cancer_type: str
    algorithm_type: str = "SEMIAUTOMATIC"
    contour: str = ""
    person: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its segment, its ROI and its group of measurements."""
        return f"{self.cancer_type} {self.number}"


@dataclass(frozen=True, eq=False)
class SeriesLesions:
    """The lesions of one series.

    Parameters
    ----------
    labels : label values, the lesions' numbers, on any grid; voxels outside the series are cut off.
    grid : the series' geometry, axes (column, row, slice).
    headers : of the series' slices along k, without pixels.
    lesions : of the labels; one without a voxel is left out of every object.
    stamp : of the annotation: the same series and stamp give the same UIDs, so that objects that are made one after
        the other refer to each other, and one that is made twice is the same.
    made : when the annotation was made.
    version : of the software.
    burden : measures of all lesions together (`report.BURDEN_MEASURES`) → value.

    Raises
    ------
    DicomError
        when no lesion has a voxel on the series, or a label value is no lesion's number.
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
        """Of one slice, for what all have in common."""
        return self.headers[0]

    def uid(self, *what: str) -> str:
        """A UID that is the same whenever it is asked for; `what` says of which object or lesion."""
        made: str = generate_uid(entropy_srcs=[MAKER, str(self.header.SeriesInstanceUID), self.stamp, *what])
        return made

    def tracking_uid(self, lesion: ExportedLesion) -> str:
        """Of a lesion in all objects of this annotation (PS3.3 C.8.20.2, (0062,0021))."""
        return self.uid("lesion", str(lesion.number))

    def set_times(self, dataset: Dataset) -> None:
        """Say that an object was made when the annotation was, so that the same UID stands for the same content."""
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
