"""What lies where, to be compared: nothing may appear outside the folders that a server is given."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What the server process may have a right to, and no business with.
OUTSIDE = (ROOT, Path("/etc"), Path("/opt"), Path("/usr/local"), Path("/var/lib"), Path("/srv"), Path("/home"))
_UNHEEDED = {".git", ".venv", "__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache", "logs"}


def listing(folders: Iterable[Path] = OUTSIDE) -> set[tuple[str, int]]:
    """Path and time of change of every file below; caches of Python and of tests, and the server's log, left out."""
    found = set()
    for folder in folders:
        for place, names, files in os.walk(folder):
            names[:] = [name for name in names if name not in _UNHEEDED]
            for name in files:
                path = os.path.join(place, name)
                try:
                    found.add((path, os.lstat(path).st_mtime_ns))
                except FileNotFoundError:
                    continue
    return found
