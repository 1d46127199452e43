"""Detect added and removed files by the modification times of their folders, without listing the folders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

# A folder that changed within this time may have changed again without a new modification time: file systems store it
# with a resolution of up to 2 s.
SETTLED_NS = 2_000_000_000
# Longest time between two listings, for changes that do not change a folder's modification time (targets of links).
MOST_SECONDS = 60.0


class Changes:
    """Changes of the files directly in some folders.

    Parameters
    ----------
    folders : returns the folders that exist at the moment.
    """

    def __init__(self, folders: Callable[[], Iterable[Path]]) -> None:
        self._folders = folders
        self._stamps: dict[Path, int] | None = None
        self._due = 0.0

    def may_have_been(self) -> bool:
        """Whether files may have changed since this last returned True."""
        stamps = {folder: _modified_ns(folder) for folder in self._folders()}
        settled = all(time.time_ns() - stamp > SETTLED_NS for stamp in stamps.values())
        if settled and stamps == self._stamps and time.monotonic() < self._due:
            return False
        self._stamps, self._due = stamps if settled else None, time.monotonic() + MOST_SECONDS
        return True


def _modified_ns(folder: Path) -> int:
    """Modification time of a folder; 0 when it is gone or unreadable."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
