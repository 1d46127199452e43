"""Errors of the server, and the HTTP status code of each error."""

from __future__ import annotations

import errno
from typing import Any

from wslpet.core.errors import BusyError, InputError


class UnknownName(InputError):
    """An image, a task or a session that does not exist (404)."""


class Conflict(InputError):
    """A request that would overwrite something (409)."""


class StorageError(InputError):
    """A write that failed, as on a full disk; the old state is unchanged (507)."""


class PacsError(InputError):
    """A PACS that does not answer, answers too slowly, or answers what is not DICOMweb (502)."""


def status_of(error: InputError) -> int:
    """Return the HTTP status code of an error."""
    statuses = {UnknownName: 404, Conflict: 409, StorageError: 507, PacsError: 502, BusyError: 503}
    return statuses.get(type(error), 400)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def disk_refused(error: BaseException) -> StorageError | None:
    """Return a StorageError if an exception is that of a full or broken disk; None for other exceptions."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    return StorageError(f"the server could not write ({error.strerror}); free space on its disk and try again")


def quoted(value: Any, limit: int = 80) -> str:
    """Quote a value in an error message: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
