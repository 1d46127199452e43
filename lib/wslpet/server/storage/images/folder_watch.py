"""Detect added and removed files by the modification times of their folders, without listing them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

# A folder that changed so lately may have changed again in the same tick of its clock.
SETTLED_NS = 2_000_000_000
# Interval of a full check, for changes that leave a folder's modification time as it is (targets of links).
MOST_SECONDS = 60.0


class Changes:
    """Of the files that lie in some folders themselves.

    Parameters
    ----------
    folders : those that there are at the moment.
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
