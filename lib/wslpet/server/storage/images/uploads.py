"""Uploads of clients: checks of names and content, and atomic writes."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError
from wslpet.io.readers import ending
from wslpet.server.errors import StorageError, quoted
from wslpet.server.storage.images.image_files import IMAGE_ENDS

SAFE_ID = re.compile(r"\w[\w.+ ()=@,-]{0,199}")
SAFE_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def image_extension(path: Path, what: str) -> str:
    """Return the ending of an image's or a label's file. Raises InputError for a format that is not read."""
    extension = ending(path.name).lower()
    if extension not in IMAGE_ENDS:
        kinds = ", ".join(IMAGE_ENDS)
        raise InputError(f"{what} file type {''.join(path.suffixes)!r} is not one of {kinds}; convert it to NIfTI")
    return extension


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """Context manager: as `replacing`, but an error of the disk is a StorageError; `target` is unchanged then."""
    try:
        with replacing(target) as staged:
            yield staged
    except OSError as error:
        raise StorageError(
            f"{target.name} could not be written ({error.strerror}); free space on the server's disk"
        ) from error


@contextmanager
def called(upload: Path, name: str) -> Iterator[None]:
    """Context manager: in an InputError of the block, replace the name of the temporary file by `name`."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error).replace(upload.name, name)) from error


def check_name(what: str, name: Any, safe: re.Pattern[str]) -> None:
    """Raise InputError for a name that could be a path, or is too long."""
    if not isinstance(name, str) or not safe.fullmatch(name):
        raise InputError(f"{what} {quoted(name)} is not a safe name; use letters, digits, '.', '_' and '-'")


def as_mapping(info: Any) -> Mapping[str, Any]:
    """Return the information that a client sends with a file. Raises InputError if it is not a JSON object."""
    if info is not None and not isinstance(info, Mapping):
        raise InputError(f"info {quoted(info)} is not a JSON object")
    return info or {}


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    return filecmp.cmp(one, other, shallow=False)
