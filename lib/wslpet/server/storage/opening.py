"""What `--studies` names → a datastore: a folder, or the URL of a PACS."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from monailabel.config import settings as server

from wslpet.core.errors import InputError
from wslpet.core.settings import Settings
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.dicomweb import DicomWeb
from wslpet.server.series.folder import DicomFolder


def open_studies(studies: str, settings: Settings) -> SeriesDatastore:
    """The datastore of a folder (image files and DICOM series), or of a DICOMweb service.

    Of MONAI Label's settings it heeds MONAI_LABEL_DATASTORE_AUTO_RELOAD and _READ_ONLY, the three _PREFIX, and of
    MONAI_LABEL_DICOMWEB: _USERNAME, _PASSWORD, _CACHE_PATH, _SEARCH_FILTER (its modality is PT whatever it says) and
    _PROXY_TIMEOUT.

    Raises
    ------
    InputError
        when the URL is none. A PACS that does not answer is no error: its studies come when it does.
    """
    remote = studies.startswith(("http://", "https://"))
    source = _pacs(studies) if remote else DicomFolder(Path(studies))
    return SeriesDatastore(
        str(_cache(studies)) if remote else studies,
        settings,
        source,
        auto_reload=server.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
        read_only=server.MONAI_LABEL_DATASTORE_READ_ONLY,
    )


def _pacs(url: str) -> DicomWeb:
    user, password = server.MONAI_LABEL_DICOMWEB_USERNAME, server.MONAI_LABEL_DICOMWEB_PASSWORD
    try:
        if not urlsplit(url).hostname or urlsplit(url).port == 0:  # .port raises ValueError, too
            raise ValueError("no host, or no port")
        return DicomWeb(
            url.strip().rstrip("/"),
            (user, password) if user and password else None,
            server.MONAI_LABEL_DICOMWEB_SEARCH_FILTER,
            (server.MONAI_LABEL_QIDO_PREFIX, server.MONAI_LABEL_WADO_PREFIX, server.MONAI_LABEL_STOW_PREFIX),
            server.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT,
        )
    except ValueError as error:
        raise InputError(f"studies {url} is no DICOMweb address ({error}); write http://host:port/dicom-web") from error


def _cache(url: str) -> Path:
    """A folder for each service, beside that of MONAI Label's own DICOMweb datastore, whose NIfTI is in Bq/ml."""
    folder = server.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip()
    root = Path(folder) if folder else Path.home() / ".cache" / "monailabel" / "dicom"
    name = hashlib.sha256(url.strip().rstrip("/").encode()).hexdigest()[:24]
    return root / f"wslpet-{name}"
