"""Sources of DICOM series: their common interface, and the rule which series are listed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
)

from wslpet.io.dicom.headers import Header
from wslpet.server.errors import quoted

_UID = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)
_LONGEST_UID = 64
# Multi-frame images are listed, too, so that reading them can tell that they are not supported.
_IMAGES = (PositronEmissionTomographyImageStorage, EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage)
# Header elements of a series in an image's info; neither name nor birth date of the patient.
FACTS = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate", "SeriesDate", "SeriesDescription")


@dataclass(frozen=True)
class FoundSeries:
    """A PET series of a source.

    Parameters
    ----------
    uid : SeriesInstanceUID, which is the image's name on this server.
    version : text that changes whenever the series changes.
    facts : keyword → text of `FACTS` and Modality; "" if the header lacks it.
    """

    uid: str
    version: str
    facts: dict[str, str]

    def info(self) -> dict[str, Any]:
        """Return the information that the list of images stores."""
        return {**self.facts, "version": self.version}

    @classmethod
    def from_info(cls, uid: str, info: dict[str, Any]) -> FoundSeries:
        return cls(uid, str(info.get("version", "")), {k: str(info.get(k, "")) for k in (*FACTS, "Modality")})


@dataclass(frozen=True)
class FoundSegmentation:
    """A DICOM SEG on a source.

    Parameters
    ----------
    uid, study : its SeriesInstanceUID and StudyInstanceUID.
    image : SeriesInstanceUID of the series that it segments.
    made : date and time of its creation, as text that sorts by time.
    """

    uid: str
    study: str
    image: str
    made: str


class SeriesSource(Protocol):
    """Interface of a folder or a PACS. Every method may raise InputError."""

    name: str
    keeps_segmentations: bool
    fresh_seconds: float  # time for which a result of `search` is used

    @property
    def left_out(self) -> Mapping[str, str]:
        """File or series that the last search found and did not list → reason."""

    def search(self, known: Collection[str]) -> dict[str, FoundSeries]:
        """Return PET series by UID. The series of `known` are not judged again."""

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        """Return the files of a series; files that must be fetched are written to `folder`, which is empty."""

    def ct(self, study: str, frame: str) -> FoundSeries | None:
        """Return the CT series of a study that covers the most in a frame of reference; None if there is none.

        Parameters
        ----------
        study, frame : StudyInstanceUID and FrameOfReferenceUID.
        """

    def segmentations(self, images: Mapping[str, FoundSeries], types: Collection[str]) -> dict[str, FoundSegmentation]:
        """Image → its newest segmentation whose segments all have names of `types`."""

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        """Write a segmentation's file to `path`."""

    def store(self, path: Path) -> None:
        """Store a segmentation's file on the source."""


def is_uid(value: Any) -> bool:
    """Whether a value is a UID (PS3.5 9.1), which is a safe file name, too."""
    return isinstance(value, str) and len(value) <= _LONGEST_UID and bool(_UID.fullmatch(value))


def facts_of(header: Dataset) -> dict[str, str]:
    """Keyword → text of the tags in `FACTS`, and Modality."""
    read = Header(header)
    return {keyword: read.text(keyword) for keyword in (*FACTS, "Modality")}


def why_left_out(header: Dataset) -> str:
    """Return why a series is not listed, judged by one image's header; "" if it is listed.

    Secondary captures, raw data, projections, and series without attenuation correction are not listed. A series whose
    header lacks the elements is listed; reading it tells what is missing.
    """
    read = Header(header)
    kind, corrections, series_type = read.text("SOPClassUID"), read.texts("CorrectedImage"), read.texts("SeriesType")
    if kind and kind not in _IMAGES:
        name = UID(kind).name if is_uid(kind) else quoted(kind)
        return f"SOP Class is {name}, not a PET image"
    if corrections and "ATTN" not in corrections:
        return "Corrected Image has no ATTN: it is not corrected for attenuation, so it has no SUV"
    if len(series_type) > 1 and series_type[1] == "REPROJECTION":
        return "Series Type is REPROJECTION, a projection and no volume"
    return ""
