"""Cache of volumes in memory, with a limit on the bytes of all volumes, those in use included.

A thread that would exceed the limit waits, with a time limit, and only if it holds no volume that others may wait for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from wslpet.core.errors import BusyError
from wslpet.core.volume import Volume
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.readers import decoded_bytes

logger = logging.getLogger(__name__)

# An eighth of the computer's memory, but at most 2 GiB, eight of the largest whole-body scans.
MEMORY_BYTES = min(psutil.virtual_memory().total // 8, 2 << 30)
# Time limit of a wait for memory, or for another thread that reads the scan; no scan takes this long to read.
WAIT_SECONDS = 120.0
# Interval of log messages during a wait.
LOG_SECONDS = 15.0


@dataclass
class _Entry:
    """A volume in memory, or None while it is being read; the number of threads that hold it; its size in bytes."""

    size: int
    volume: Volume | None = None
    users: int = 1


class VolumeCache:
    """Least-recently-used cache of volumes by file, shared by threads.

    It has one lock, which is not held while a file is read. Waits for memory, and for another thread that reads the
    same file, end after `wait_seconds`.

    Parameters
    ----------
    read : (key, path) → volume; called for a file that is not in memory, once for all threads that request it.
    memory_bytes : limit on the size of all volumes. A larger volume is read if no other is in use.
    wait_seconds : time limit of a wait.
    """

    def __init__(
        self,
        read: Callable[[str, Path], Volume],
        memory_bytes: int = MEMORY_BYTES,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._read = read
        self._memory_bytes = memory_bytes
        self._wait_seconds = wait_seconds
        self._mine = threading.local()  # number of volumes that this thread holds
        self._volumes: OrderedDict[str, _Entry] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def checkout(self, path: Path) -> Iterator[Volume]:
        """Context manager: keep the volume of a file in memory while the block runs. Its array is read-only.

        A thread that holds a volume already, and requests another one, may exceed the limit: otherwise two such threads
        would wait for each other.

        Raises
        ------
        BusyError
            if others hold the memory, or read the file, for longer than `wait_seconds`.
        InputError
            as `read`.
        """
        key = scan_key(path)
        held = getattr(self._mine, "held", 0)
        entry = self._held(key, path, waits_for_room=held == 0)
        self._mine.held = held + 1
        try:
            assert entry.volume is not None
            yield entry.volume
        finally:
            self._mine.held = held
            with self._changed:
                entry.users -= 1
                self._changed.notify_all()

    def forget(self, key: str) -> None:
        """Remove a volume, if it is not in use."""
        with self._changed:
            if key in self._volumes and self._volumes[key].users == 0:
                del self._volumes[key]

    def _held(self, key: str, path: Path, waits_for_room: bool) -> _Entry:
        size, deadline = None, time.monotonic() + self._wait_seconds
        while True:
            with self._changed:
                entry = self._volumes.get(key)
                if entry is not None and entry.volume is not None:
                    self._volumes.move_to_end(key)
                    entry.users += 1
                    return entry
                if entry is not None:
                    self._wait(deadline, path, "another request reads it")
                    continue
                if size is not None and not self._fits(size) and waits_for_room:
                    self._wait(deadline, path, "others fill the memory for scans")
                    continue
                if size is not None:
                    entry = self._volumes[key] = _Entry(size)
                    break
            size = decoded_bytes(path)
        return self._filled(key, path, entry)

    def _wait(self, deadline: float, path: Path, why: str) -> None:
        """Wait until the cache changes, or the next log message is due. The lock must be held."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise BusyError(f"image {path.name} could not be read within {self._wait_seconds:g} s: {why}; ask again")
        if not self._changed.wait(min(left, LOG_SECONDS)):
            logger.warning("image %s waits: %s", path.name, why)

    def _fits(self, size: int) -> bool:
        """Remove unused volumes as needed. Returns whether there is enough memory. The lock must be held."""
        idle = [key for key, entry in self._volumes.items() if entry.users == 0]
        while self._total() + size > self._memory_bytes and idle:
            del self._volumes[idle.pop(0)]
        return not self._volumes or self._total() + size <= self._memory_bytes

    def _total(self) -> int:
        return sum(entry.size for entry in self._volumes.values())

    def _filled(self, key: str, path: Path, entry: _Entry) -> _Entry:
        try:
            volume = self._read(key, path)
            volume.array.flags.writeable = False
            entry.volume = volume
        except BaseException:
            with self._changed:
                del self._volumes[key]
                self._changed.notify_all()
            raise
        with self._changed:
            self._changed.notify_all()
        return entry
