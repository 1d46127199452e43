"""Atomic, durable file writes: after a kill or a power cut a file has its old or its new content, never a part of it.

Also locks between threads and between processes, with a time limit.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wslpet.core.errors import BusyError

logger = logging.getLogger(__name__)

# Age after which a temporary file is taken for one of a writer that was killed.
ABANDONED_SECONDS = 3600
# Time limit of a lock between processes; no change under such a lock takes this long.
LOCK_SECONDS = 120.0
# Time limit of a lock between threads. It is longer, since the thread that holds it may itself wait for LOCK_SECONDS.
THREAD_LOCK_SECONDS = 2 * LOCK_SECONDS
# Interval of log messages while waiting for a lock.
LOG_SECONDS = 15.0


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Context manager: give a temporary file, which is fsynced and replaces `target` if the block raises nothing.

    The temporary file is in the same folder. Its name is hidden and ends in ".part", so that it is never listed as an
    image.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


class ThreadLock:
    """A reentrant lock between threads with a time limit, after which BusyError is raised.

    Parameters
    ----------
    what : name of the locked object, for the error message.
    seconds : time limit.
    """

    def __init__(self, what: str, seconds: float = THREAD_LOCK_SECONDS) -> None:
        self._what = what
        self._seconds = seconds
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._seconds):
            raise BusyError(f"{self._what} was busy for {self._seconds:g} s; nothing was changed: try again")

    def __exit__(self, *error: object) -> None:
        self._lock.release()


@contextmanager
def locked(lock: FileLock, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Context manager: hold a lock between processes.

    Raises
    ------
    BusyError
        if another process still holds it after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            lock.acquire(timeout=min(left, LOG_SECONDS))
            break
        except Timeout:
            logger.warning("%s is held by another process; it is waited for", lock.lock_file)
            if left <= LOG_SECONDS:
                raise BusyError(
                    f"{Path(lock.lock_file).name} was held by another process for {seconds:g} s; nothing was changed: "
                    "try again, and see which process hangs"
                ) from None
    try:
        yield
    finally:
        lock.release()


def write_json(target: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def sweep(folder: Path) -> None:
    """Remove temporary files of killed writers that are older than an hour; younger ones may be in use."""
    for left in folder.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()


def sync_folder(folder: Path) -> None:
    """Fsync a folder, so that a rename or a new file in it is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
