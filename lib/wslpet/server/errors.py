"""Errors of the server, and the HTTP status of every error."""

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
    """A PACS that is down, slow, or answers nonsense; nothing is lost (502)."""


def status_of(error: InputError) -> int:
    """HTTP status of an error."""
    statuses = {UnknownName: 404, Conflict: 409, StorageError: 507, PacsError: 502, BusyError: 503}
    return statuses.get(type(error), 400)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def disk_refused(error: BaseException) -> StorageError | None:
    """StorageError for an OSError of a full or broken disk; None for another error."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    return StorageError(f"the server could not write ({error.strerror}); free space on its disk and try again")


def quoted(value: Any, limit: int = 80) -> str:
    """A value as an error message quotes it: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
