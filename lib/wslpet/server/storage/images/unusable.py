"""Images that cannot be used, and why."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from wslpet.core.errors import BusyError, InputError
from wslpet.server.errors import Conflict, PacsError, StorageError, UnknownName

# After an error that is not due to its content, such as one of the disk, an image is read again after this time.
RETRY_SECONDS = 300.0


class UnusableImages:
    """Images that cannot be used, remembered until their file changes.

    Parameters
    ----------
    version : (image) → key that changes with its file. It may raise InputError or OSError.
    """

    def __init__(self, version: Callable[[str], str]) -> None:
        self._version = version
        self._known: dict[str, tuple[str, float, str]] = {}  # image → version, time until which it holds, reason

    def note(self, image_id: str, error: Exception) -> None:
        """Remember why an image cannot be used; errors of the server are ignored."""
        if isinstance(error, PacsError | StorageError | BusyError | UnknownName | Conflict):
            return
        until = math.inf if isinstance(error, InputError) else time.monotonic() + RETRY_SECONDS
        try:
            version = self._version(image_id)
        except (InputError, OSError):
            return
        self._known[image_id] = (version, until, str(error) or type(error).__name__)

    def reasons(self) -> dict[str, str]:
        """Image → reason, of the images that are known to be unusable."""
        found = {}
        for image, (version, until, why) in list(self._known.items()):
            try:
                known = self._version(image) == version and time.monotonic() < until
            except (InputError, OSError):
                known = False
            if known:
                found[image] = why
            else:
                self._known.pop(image, None)
        return found
