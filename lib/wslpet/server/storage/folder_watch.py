"""Whether files or folders came or went, told by their folders' times: a look at each of thousands takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

# A folder that changed so lately may have changed again in the same tick of its clock.
SETTLED_NS = 2_000_000_000
# What a folder's time does not tell, such as the end of what a link points to, is found out at this interval.
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
        """Whether there may have been any since this was last asked and true."""
        stamps = {folder: _modified_ns(folder) for folder in self._folders()}
        settled = all(time.time_ns() - stamp > SETTLED_NS for stamp in stamps.values())
        if settled and stamps == self._stamps and time.monotonic() < self._due:
            return False
        self._stamps, self._due = stamps if settled else None, time.monotonic() + MOST_SECONDS
        return True


def _modified_ns(folder: Path) -> int:
    """0 of a folder that is gone, or that cannot be looked at any more."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
