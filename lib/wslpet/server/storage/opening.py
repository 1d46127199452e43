"""Open the datastore that `--studies` names: a folder, or the URL of a PACS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from monailabel.config import settings as server

from wslpet.core.errors import InputError
from wslpet.core.settings import Settings
from wslpet.data.state_folder import PRIVATE, state_folder
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.dicomweb import DicomWeb
from wslpet.server.series.sources.folder import DicomFolder
from wslpet.server.storage.places import cache_folder, check_state, check_studies, is_remote


def open_studies(
    studies: str,
    settings: Settings,
    renamed: Mapping[str, str] | None = None,
    state: Path | None = None,
    wait_for_scans: bool = False,
    readers: int = 1,
) -> SeriesDatastore:
    """Open the datastore of a folder (image files and DICOM series), or of a DICOMweb service.

    These settings of MONAI Label are used: MONAI_LABEL_DATASTORE_AUTO_RELOAD and _READ_ONLY, the three _PREFIX, and of
    MONAI_LABEL_DICOMWEB _USERNAME, _PASSWORD, _CACHE_PATH, _SEARCH_FILTER (with the modality PT in any case) and
    _PROXY_TIMEOUT.

    Parameters
    ----------
    studies : path of a folder, or URL.
    settings : settings of the method.
    renamed : former name of a cancer type → its name in the settings.
    state : folder for seeds, weights and caches; None for that of `wslpet.data.state_folder`.
    wait_for_scans : whether a folder without a usable scan is accepted.
    readers : number of readers per patient.

    Raises
    ------
    InputError
        if the URL is not valid, or the folder has no usable scan; nothing is created then. A PACS that does not
        answer is no error: its studies are listed once it answers.
    StorageError
        if the state folder cannot be written.
    """
    remote = is_remote(studies)
    folder = cache_folder(studies) if remote else Path(studies)
    source = _pacs(studies) if remote else DicomFolder(folder)
    if not remote:
        check_studies(folder, wait_for_scans)
    place = state or state_folder(folder)
    check_state(place, None if remote else folder)
    elsewhere = place.resolve() != (folder / PRIVATE).resolve()
    if remote and elsewhere:
        folder = place / "images"
        folder.mkdir(exist_ok=True)
    return SeriesDatastore(
        str(folder),
        settings,
        source,
        auto_reload=server.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
        read_only=server.MONAI_LABEL_DATASTORE_READ_ONLY,
        renamed=renamed,
        state=place if elsewhere else None,
        readers=readers,
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
