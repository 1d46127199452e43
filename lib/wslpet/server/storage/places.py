"""Checks of the studies folder and of the state folder, before anything is written to them."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from monailabel.config import settings as server

from wslpet.core.errors import InputError
from wslpet.data.state_folder import PRIVATE, VARIABLE
from wslpet.io.dicom.files import is_candidate
from wslpet.io.dicom.series import read_series
from wslpet.io.folders import look_into
from wslpet.io.readers import read_volume
from wslpet.server.errors import StorageError
from wslpet.server.series.sources.folder import DicomFolder
from wslpet.server.storage.images.image_files import IMAGE_ENDS, NOT_STUDIES

# File in a state folder outside the studies, with the path of the studies.
OF = "studies.txt"
# Time limit of the search for a usable scan.
SECONDS = 20.0
_SHOWN = 3
# The start time of a process is known to one second. MONAI Label needs longer than that until it opens the studies.
CLOCK_SECONDS = 1.0
_WAIT = "to start without scans and wait for them, say --conf wait_for_scans true"


def is_remote(studies: str) -> bool:
    """Whether the studies are on a PACS."""
    return studies.startswith(("http://", "https://"))


def cache_folder(url: str) -> Path:
    """Return the cache folder of a DICOMweb service. MONAI Label's own folder is not used: its files are in Bq/ml."""
    folder = server.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip()
    root = Path(folder) if folder else Path.home() / ".cache" / "monailabel" / "dicom"
    name = hashlib.sha256(url.strip().rstrip("/").encode()).hexdigest()[:24]
    return root / f"wslpet-{name}"


def check_studies(folder: Path, wait_for_scans: bool = False) -> None:
    """Refuse a studies folder that is probably a mistake, before anything is created in it.

    A folder that was served before is not searched.

    Parameters
    ----------
    wait_for_scans : whether a folder without a usable scan is accepted.

    Raises
    ------
    InputError
        if the folder does not exist, has no scan, or none of its scans can be used.
    """
    if not folder.exists() or (not wait_for_scans and _made_just_now(folder)):
        with suppress(OSError):
            folder.rmdir()  # MONAI Label creates it if the name is mistyped; a folder with content is not removed
        raise InputError(f"studies {folder} do not exist; name the folder of your scans. Nothing was created")
    if not folder.is_dir():
        raise InputError(f"studies {folder} is a file; name the folder that it lies in. Nothing was created")
    if wait_for_scans or (folder / PRIVATE).exists():
        return
    if next(_files(folder), None) is None:
        ends = ", ".join(IMAGE_ENDS)
        raise InputError(
            f"studies {folder} hold no scan: neither an image file ({ends}) nor DICOM; name another folder, or, "
            f"{_WAIT}. Nothing was created"
        )
    reasons = _unusable(folder)
    if reasons:
        listed = "\n".join(f"  {reason}" for reason in reasons[:_SHOWN])
        more = f"\n  and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise InputError(
            f"of the {len(reasons)} scans in {folder}, none can be used:\n{listed}{more}\n"
            f"Name another folder, or, {_WAIT}. Nothing was created"
        )


def check_state(state: Path, studies: Path | None) -> None:
    """Create the state folder, and check that it can be written and belongs to these studies.

    Parameters
    ----------
    state : the state folder.
    studies : the studies folder; None if the studies are on a PACS.

    Raises
    ------
    StorageError
        if it cannot be written.
    InputError
        if it belongs to other studies, or the studies folder has annotations that it lacks.
    """
    elsewhere = studies is not None and state.resolve() != (studies / PRIVATE).resolve()
    if studies is not None and elsewhere and state.resolve().is_relative_to(studies.resolve()):
        raise InputError(f"state_dir {state} lies in the studies {studies}; name a folder outside them")
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=state):
            pass
    except OSError as error:
        raise StorageError(
            f"annotations cannot be kept in {state} ({error.strerror}): give the server's user the right to write "
            f"there, or name another folder with --conf state_dir DIR, or {VARIABLE}=DIR"
        ) from error
    if studies is None or not elsewhere:
        return
    _check_its_own(state, studies)
    left = studies / PRIVATE / "seeds.jsonl"
    if left.exists() and not (state / left.name).exists():
        raise InputError(
            f"{left.parent} holds annotations that {state} does not; copy them there first: "
            f"cp -a {left.parent}/. {state}/"
        )


def _check_its_own(state: Path, studies: Path) -> None:
    """Refuse a state folder of other studies: two cohorts would share their weights."""
    of, present = state / OF, str(studies.resolve())
    with suppress(FileNotFoundError):
        known = of.read_text(encoding="utf-8").strip()
        if known != present:
            raise InputError(
                f"state_dir {state} is that of the studies {known}, not of {present}; name another folder, or, "
                f"if the studies were moved, delete {of}"
            )
        return
    of.write_text(f"{present}\n", encoding="utf-8")


def _made_just_now(folder: Path) -> bool:
    """Whether a folder is empty and younger than this server, which means that MONAI Label created it."""
    if "monailabel.app" not in sys.modules:
        return False
    try:
        return not any(folder.iterdir()) and folder.stat().st_ctime >= psutil.Process().create_time() + CLOCK_SECONDS
    except OSError:
        return False


def _files(folder: Path) -> Iterator[Path]:
    """Yield files that may be scans, by their names."""
    names = look_into(folder, NOT_STUDIES).files
    yield from (folder / name for name in names if _is_image(name) or is_candidate(Path(name).name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDS)


def _unusable(folder: Path) -> list[str]:
    """Reason for each scan why it cannot be used; empty if one can be used, or the time limit is reached."""
    reasons, deadline = [], time.monotonic() + SECONDS
    for file in (file for file in _files(folder) if _is_image(file.name)):
        reason = _reason(file)
        if not reason or time.monotonic() > deadline:
            return []
        reasons.append(reason)
    source = DicomFolder(folder)
    with tempfile.TemporaryDirectory(prefix="wslpet-") as scratch:
        for series in source.search().values():
            reason = _reason_of_series(source.fetch(series, Path(scratch)))
            if not reason or time.monotonic() > deadline:
                return []
            reasons.append(reason)
    return reasons or [f"{folder}: files that may be DICOM, and no PET series among them"]


def _reason(file: Path) -> str:
    try:
        read_volume(file)
    except InputError as error:
        return str(error)
    except Exception as error:  # any failure means that the file cannot be used
        return f"{file.name} cannot be read ({error or type(error).__name__})"
    return ""


def _reason_of_series(files: list[Path]) -> str:
    try:
        read_series(files)
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"{files[0].parent.name} cannot be read ({error or type(error).__name__})"
    return ""
