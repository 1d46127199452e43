"""Volumes in memory up to a number of bytes, those in use counted.

Whoever would exceed the bound waits, but not for ever, and not while holding a volume that others may wait for.
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

# A share of the computer's memory, and no more than eight of the largest whole-body scans.
MEMORY_BYTES = min(psutil.virtual_memory().total // 8, 2 << 30)
# Longest wait for memory or for another reader of the scan, longer than any scan takes to read.
WAIT_SECONDS = 120.0
# Interval at which a wait is logged.
TOLD_SECONDS = 15.0


@dataclass
class _Entry:
    """A volume in memory, or one that is being read (None), the users that hold it, and its bytes."""

    size: int
    volume: Volume | None = None
    users: int = 1


class VolumeCache:
    """Least-recently-used cache of volumes by file, shared by threads.

    One lock guards it. Waits for room, and for another thread that reads the same file, end after `wait_seconds`;
    files are read without the lock.

    Parameters
    ----------
    read : called with the key and the path of a file that is not in memory, once for all threads that ask for it.
    memory_bytes : of all volumes; one that is larger is read when no other is in use.
    wait_seconds : the longest wait.
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
        self._mine = threading.local()  # how many volumes a thread holds
        self._volumes: OrderedDict[str, _Entry] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def checkout(self, path: Path) -> Iterator[Volume]:
        """Hold the volume of a file in memory for as long as the block runs. Its array is read-only.

        A block that borrows again, as one does whose file was replaced meanwhile, is given room beyond the bound: two
        such blocks would wait for each other.

        Raises
        ------
        BusyError
            when others hold the memory, or read the file, for longer than `wait_seconds`.
        InputError
            as `read` raises.
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
        """Drop a volume that is not in use."""
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
        """Until something changed, or it is time to say so. Called with the lock held."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise BusyError(f"image {path.name} could not be read within {self._wait_seconds:g} s: {why}; ask again")
        if not self._changed.wait(min(left, TOLD_SECONDS)):
            logger.warning("image %s waits: %s", path.name, why)

    def _fits(self, size: int) -> bool:
        """Make room; whether there is enough of it. Called with the lock held."""
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
