"""Where DICOM series come from: what every source of them says, and which series are shown to annotators."""

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
# The multi-frame kinds are shown, too, so that they can be refused by name.
_IMAGES = (PositronEmissionTomographyImageStorage, EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage)
# What an image's info says of its series; no name and no birth date.
FACTS = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate", "SeriesDate", "SeriesDescription")


@dataclass(frozen=True)
class FoundSeries:
    """A PET series of a source.

    Parameters
    ----------
    uid : SeriesInstanceUID, the image's name on this server.
    version : changes when the series does.
    facts : `FACTS` and Modality, as text; "" where the header says nothing.
    """

    uid: str
    version: str
    facts: dict[str, str]

    def info(self) -> dict[str, Any]:
        """What the list of images keeps."""
        return {**self.facts, "version": self.version}

    @classmethod
    def from_info(cls, uid: str, info: dict[str, Any]) -> FoundSeries:
        return cls(uid, str(info.get("version", "")), {k: str(info.get(k, "")) for k in (*FACTS, "Modality")})


@dataclass(frozen=True)
class FoundSegmentation:
    """A DICOM SEG on a source: its UIDs, the image that it is of, and when it was made (sorts as text)."""

    uid: str
    study: str
    image: str
    made: str


class SeriesSource(Protocol):
    """A folder or a PACS. Every method may raise InputError."""

    name: str
    keeps_segmentations: bool
    fresh_seconds: float  # how long an answer to `search` is good for

    @property
    def left_out(self) -> Mapping[str, str]:
        """File or series that the last search found and that is no image here → why."""

    def search(self, known: Collection[str]) -> dict[str, FoundSeries]:
        """PET series by UID. `known` were found fit to be shown before."""

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        """The series' files; those that had to be copied lie in `folder`, which is empty."""

    def segmentations(self, images: Mapping[str, FoundSeries], types: Collection[str]) -> dict[str, FoundSegmentation]:
        """Of the images that have one, the newest segmentation whose segments all bear names of `types`."""

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        """Write a segmentation's file to `path`."""

    def store(self, path: Path) -> None:
        """Keep a segmentation."""


def is_uid(value: Any) -> bool:
    """Whether a name is a UID (PS3.5 9.1), and so a safe file name, too."""
    return isinstance(value, str) and len(value) <= _LONGEST_UID and bool(_UID.fullmatch(value))


def facts_of(header: Dataset) -> dict[str, str]:
    """Keyword → text of the tags in `FACTS`, and Modality."""
    read = Header(header)
    return {keyword: read.text(keyword) for keyword in (*FACTS, "Modality")}


def why_left_out(header: Dataset) -> str:
    """Why a series is none that annotators should see, by one image's header; "" when it is one.

    Secondary captures, raw data and projections are left out, and series without attenuation correction. What a
    header leaves open is shown: reading the series says what is missing.
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
