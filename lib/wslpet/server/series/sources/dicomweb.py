"""Source of the DICOM series and segmentations on a PACS, over DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS.

Every failure of the PACS becomes a PacsError with a sentence: no answer, a slow answer, a refused password, a web page
instead of DICOMweb, an incomplete series, or another series than the requested one.
"""

from __future__ import annotations

import logging
import re
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from wslpet.core.errors import InputError
from wslpet.io.dicom.derived.segmentation import referenced_series, segment_names
from wslpet.io.dicom.headers import write_dicom
from wslpet.server.errors import PacsError, quoted
from wslpet.server.series.sources.ct import TAGS as CT_TAGS
from wslpet.server.series.sources.ct import CtSlice, ct_slice
from wslpet.server.series.sources.http_session import new_session, trouble
from wslpet.server.series.sources.source import FACTS, FoundSegmentation, FoundSeries, facts_of, is_uid, why_left_out

logger = logging.getLogger(__name__)

# Time limit of the download of one series, also if the PACS keeps sending slowly.
DOWNLOAD_SECONDS = 900.0
_FIELDS = [*FACTS, "NumberOfSeriesRelatedInstances"]
_JUDGED_BY = ["SOPClassUID", "CorrectedImage", "SeriesType"]
_MAX_PAGES = 1000
# Resources that a viewer may reach with the server's login. A PACS may have others there, as Orthanc's peers.
_RESOURCES = ("studies", "series", "instances")


class DicomWeb:
    """A `SeriesSource` on a PACS.

    Parameters
    ----------
    url : URL of the DICOMweb service.
    login : user name and password, or None.
    search_filter : QIDO attributes that restrict the search; the modality is always PT.
    prefixes : path prefixes of QIDO, WADO and STOW below the URL, if they differ.
    read_seconds : time limit between two parts of an answer.
    """

    keeps_segmentations = True
    fresh_seconds = 5.0

    def __init__(
        self,
        url: str,
        login: tuple[str, str] | None = None,
        search_filter: Mapping[str, Any] | None = None,
        prefixes: tuple[str | None, str | None, str | None] = (None, None, None),
        read_seconds: float = 30.0,
    ) -> None:
        self._session = session = new_session(login, read_seconds)
        qido, wado, stow = prefixes
        self._prefixes = {"qido": qido, "wado": wado, "stow": stow, "": None}
        self._client = DICOMwebClient(url, session, qido, wado, stow)
        self._client.set_http_retry_params(retry=False)
        self.name = f"PACS {self._client.protocol}://{self._client.host}:{self._client.port}"
        self._filter = {**(search_filter or {}), "Modality": "PT"}
        self._hidden: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._cts: dict[str, CtSlice | None] = {}
        self._segmentations: dict[str, tuple[FoundSegmentation, list[str]] | None] = {}

    def search(self, known: Collection[str] = ()) -> dict[str, FoundSeries]:
        found, left_out = dict[str, FoundSeries](), dict[str, str]()
        with self._asked("for its PET series"):
            for answer in self._series(self._filter):
                series = _found(answer)
                if series is None:
                    continue
                why = "" if series.uid in known else self._why_left_out(series)
                if why:
                    left_out[f"series {series.uid}"] = why
                else:
                    found[series.uid] = series
        self.left_out = left_out
        return found

    def fetch(self, series: FoundSeries, folder: Path) -> list[Path]:
        what = f"for series {series.uid}"
        with self._asked(what):
            expected = self._instances(series)
            files = self._download(series, folder, what)
        if len(files) != expected:
            raise self._wrong(f"{what}, and sent {len(files)} of its {expected} slices; try again")
        return files

    def ct(self, study: str, frame: str) -> FoundSeries | None:
        found = list[tuple[float, FoundSeries]]()
        with self._asked(f"for the CT of study {study}"):
            answers = self._client.search_for_series(study, search_filters={"Modality": "CT"}, fields=_FIELDS)
            for series in (_found(Dataset.from_json(answer)) for answer in answers):
                slice_ = self._ct_slice(series) if series and series.facts["Modality"] == "CT" else None
                if series and slice_ and slice_.frame == frame:
                    found.append((int(series.version or 1) * slice_.thickness_mm, series))
        return max(found, key=lambda one: one[0])[1] if found else None

    def segmentations(self, images: Mapping[str, FoundSeries], types: Collection[str]) -> dict[str, FoundSegmentation]:
        newest: dict[str, FoundSegmentation] = {}
        names = {name.casefold() for name in types}
        studies = {series.facts["StudyInstanceUID"] for series in images.values()}
        with self._asked("for its segmentations"):
            for answer in self._series({"Modality": "SEG"}):
                known = self._segmentation(answer) if answer.StudyInstanceUID in studies else None
                if known is None:
                    continue
                found, segments = known
                if found.image not in images or not segments or not names.issuperset(segments):
                    continue
                if found.image not in newest or newest[found.image].made < found.made:
                    newest[found.image] = found
        return newest

    def fetch_segmentation(self, study: str, uid: str, path: Path) -> None:
        what = f"for segmentation {uid}"
        with self._asked(what):
            sent = self._client.retrieve_series(study, uid)
            if len(sent) != 1 or sent[0].SeriesInstanceUID != uid:
                raise self._wrong(f"{what}, and sent {len(sent)} files, or others")
            write_dicom(sent[0], path)

    def store(self, path: Path) -> None:
        with self._asked("to store a segmentation"):
            answer = self._client.store_instances([pydicom.dcmread(path)])
            if answer.get("FailedSOPSequence"):
                reason = answer.FailedSOPSequence[0].get("FailureReason", "no reason given")
                raise self._wrong(f"to store a segmentation, and refused it (failure reason {reason})")

    def relay(self, service: str, path: str, query: str, body: bytes | None, content_type: str) -> requests.Response:
        """Pass a viewer's request on to the PACS, and return its answer unchanged. A request with a body is a POST.

        Raises
        ------
        InputError
            if the path is not one of the DICOMweb service.
        """
        steps = re.split(r"[/\\]", path)
        if {".", ".."} & set(steps) or steps[0] not in _RESOURCES or (body is not None and steps[0] != "studies"):
            raise InputError(f"path {quoted(path)} is no DICOMweb resource; name studies, series or instances")
        # OHIF requests metadata under the prefix of QIDO, but it is a resource of WADO.
        prefix = self._prefixes["wado" if path.endswith("metadata") else service]
        parts = [self._client.base_url, *([prefix] if prefix else []), urllib.parse.quote(path, safe="/,:;=@")]
        address = "/".join(part.strip("/") for part in parts) + (f"?{query}" if query else "")
        with self._asked("by a viewer"):
            if body is None:
                return self._session.get(address)
            return self._session.post(address, data=body, headers={"Content-Type": content_type})

    def _series(self, search_filter: Mapping[str, Any]) -> Iterator[Dataset]:
        """Yield the series of all pages of an answer. A PACS without paging sends the first page again."""
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            page = self._client.search_for_series(
                search_filters=dict(search_filter), fields=_FIELDS, offset=len(seen) or None
            )
            answers = [Dataset.from_json(entry) for entry in page]
            new = [answer for answer in answers if str(answer.SeriesInstanceUID) not in seen]
            if not new:
                return
            seen.update(str(answer.SeriesInstanceUID) for answer in new)
            yield from (answer for answer in new if answer.get("Modality") == search_filter["Modality"])

    def _why_left_out(self, series: FoundSeries) -> str:
        """As `source.why_left_out`, by the header of one image; the result for a series left out is kept in memory."""
        key = f"{series.uid} {series.version}"
        if key in self._hidden:
            return self._hidden[key]
        answer = self._client.search_for_instances(
            series.facts["StudyInstanceUID"], series.uid, fields=_JUDGED_BY, limit=1
        )
        header = Dataset.from_json(answer[0]) if answer else Dataset()
        if "CorrectedImage" not in header and "SOPInstanceUID" in header:  # QIDO need not send what is asked for
            metadata = self._client.retrieve_instance_metadata(
                series.facts["StudyInstanceUID"], series.uid, str(header.SOPInstanceUID)
            )
            header = _header({tag: metadata[tag] for tag in _TAGS_JUDGED_BY if tag in metadata})
        why = why_left_out(header)
        if why:
            logger.info("left out: series %s: %s", series.uid, why)
            self._hidden[key] = why
        return why

    def _ct_slice(self, series: FoundSeries) -> CtSlice | None:
        """As `ct.ct_slice`, of one image's header, which is requested once."""
        key = f"{series.uid} {series.version}"
        if key not in self._cts:
            study = series.facts["StudyInstanceUID"]
            answer = self._client.search_for_instances(study, series.uid, limit=1)
            header = Dataset.from_json(answer[0]) if answer else Dataset()
            if "SOPInstanceUID" in header:
                uid = str(header.SOPInstanceUID)
                metadata = self._client.retrieve_instance_metadata(study, series.uid, uid)
                header = _header({tag: metadata[tag] for tag in _tags(CT_TAGS) if tag in metadata})
            self._cts[key] = ct_slice(header)
        return self._cts[key]

    def _instances(self, series: FoundSeries) -> int:
        """Return the number of slices of a series on the PACS."""
        study = series.facts["StudyInstanceUID"]
        answer = self._client.search_for_series(
            study, search_filters={"SeriesInstanceUID": series.uid}, fields=["NumberOfSeriesRelatedInstances"]
        )
        for entry in answer:
            found = Dataset.from_json(entry)
            if found.SeriesInstanceUID == series.uid and found.get("NumberOfSeriesRelatedInstances"):
                return int(found.NumberOfSeriesRelatedInstances)
        return len(self._client.search_for_instances(study, series.uid))

    def _download(self, series: FoundSeries, folder: Path, what: str) -> list[Path]:
        deadline = time.monotonic() + DOWNLOAD_SECONDS
        files = []
        for number, slice_ in enumerate(self._client.iter_series(series.facts["StudyInstanceUID"], series.uid)):
            if slice_.get("SeriesInstanceUID") != series.uid:
                sent = quoted(str(slice_.get("SeriesInstanceUID")))
                raise self._wrong(f"{what}, and sent another one ({sent})")
            if time.monotonic() > deadline:
                raise self._wrong(f"{what}, and was not done after {DOWNLOAD_SECONDS:g} s")
            files.append(folder / f"{number:05d}.dcm")
            write_dicom(slice_, files[-1])
        return files

    def _segmentation(self, answer: Dataset) -> tuple[FoundSegmentation, list[str]] | None:
        """Return a segmentation and the names of its segments; its metadata is requested once."""
        uid, study = str(answer.SeriesInstanceUID), str(answer.StudyInstanceUID)
        if uid not in self._segmentations:
            self._segmentations[uid] = None
            metadata = self._client.retrieve_series_metadata(study, uid) if is_uid(uid) and is_uid(study) else []
            if len(metadata) == 1:
                header = _header(metadata[0])
                images = referenced_series(header)
                made = "".join(str(header.get(tag) or "") for tag in ("ContentDate", "ContentTime"))
                if len(images) == 1:
                    names = [name.casefold() for name in segment_names(header)]
                    self._segmentations[uid] = FoundSegmentation(uid, study, images[0], made), names
        return self._segmentations[uid]

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except (InputError, OSError) as error:
            if not isinstance(error, requests.RequestException):
                raise
            raise self._wrong(f"{what}, and {trouble(error)}") from error
        except Exception as error:  # the client raises nearly any exception for an answer that is not DICOMweb
            logger.debug("the PACS did not answer as DICOMweb", exc_info=True)
            raise self._wrong(f"{what}, and answered what is not DICOMweb ({type(error).__name__})") from error

    def _wrong(self, how: str) -> PacsError:
        return PacsError(f"{self.name} was asked {how}")


def _found(answer: Dataset) -> FoundSeries | None:
    facts = facts_of(answer)
    uid = facts["SeriesInstanceUID"]
    if not is_uid(uid) or not is_uid(facts["StudyInstanceUID"]):
        logger.warning("the PACS lists a series with the UID %s; left out", quoted(uid))
        return None
    return FoundSeries(uid, str(answer.get("NumberOfSeriesRelatedInstances") or ""), facts)


def _header(metadata: Mapping[str, Any]) -> Dataset:
    """Parse metadata to a header without bulk data, which would have to be fetched."""
    return Dataset.from_json({tag: element for tag, element in metadata.items() if "BulkDataURI" not in element})


def _tags(keywords: Collection[str]) -> list[str]:
    """Keywords → tags as DICOM JSON has them (PS3.18 F.2)."""
    return [f"{pydicom.datadict.tag_for_keyword(keyword):08X}" for keyword in keywords]


_TAGS_JUDGED_BY = _tags(_JUDGED_BY)
