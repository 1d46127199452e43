"""Bounded caches on disk, shared by threads and processes: bytes by key, in `diskcache`'s SQLite index and files.

A cache raises no errors: if it is damaged, locked, full or not writable, the value is a miss, and a warning is logged.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
from diskcache.core import DBNAME, MODE_PICKLE
from isal import isal_zlib

from wslpet.core.arrays import Array

logger = logging.getLogger(__name__)

# Time limit of the wait for another writer; computing the value again takes no longer.
LOCK_SECONDS = 1.0
# SQLite's page cache per thread, 1 MiB, since the index is small. No memory map: a file on a network share may vanish.
_SQLITE = {"sqlite_cache_size": -1024, "sqlite_mmap_size": 0}
_CHECKSUM_BYTES = 4


class DiskCache:
    """Least-recently-used cache of bytes in a folder. Values are verified by CRC-32, and never unpickled.

    Parameters
    ----------
    folder : folder of the cache; created with the first value.
    most_bytes : size of all values; beyond it, the least recently used ones are removed.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._cache: diskcache.Cache | None = None
        self._guard = threading.Lock()
        if folder.is_dir():
            self._sweep()

    def get(self, key: str) -> bytes | None:
        """Return the value of a key; None if there is none, or it is damaged."""
        kept = None
        with self._errors_logged("read"):
            cache = self._opened()
            kept = None if cache is None else cache.get(key)
        if kept is None or len(kept) < _CHECKSUM_BYTES:
            return None
        content = memoryview(kept)[_CHECKSUM_BYTES:]
        return bytes(content) if kept[:_CHECKSUM_BYTES] == _checksum(content) else None

    def set(self, key: str, content: bytes) -> None:
        """Store a value, completely or not at all."""
        with self._errors_logged("written"):
            cache = self._opened(make=True)
            assert cache is not None
            cache.set(key, _checksum(content) + content)

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        with self._errors_logged("written"):
            cache = self._opened()
            if cache is not None:
                cache.delete(key)

    def __contains__(self, key: str) -> bool:
        with self._errors_logged("read"):
            cache = self._opened()
            return cache is not None and key in cache
        return False

    def __len__(self) -> int:
        with self._errors_logged("read"):
            cache = self._opened()
            return 0 if cache is None else len(cache)
        return 0

    def _opened(self, make: bool = False) -> diskcache.Cache | None:
        """Open the index; None if there is none and `make` is false."""
        with self._guard:
            if self._cache is None and (make or (self._folder / DBNAME).exists()):
                self._cache = diskcache.Cache(
                    str(self._folder),
                    timeout=LOCK_SECONDS,
                    disk=_BytesDisk,
                    size_limit=self._most_bytes,
                    eviction_policy="least-recently-used",
                    **_SQLITE,
                )
            return self._cache

    def _sweep(self) -> None:
        """Remove files that the index does not list; killed writers leave them."""
        with self._errors_logged("swept"):
            cache = self._opened(make=True)
            if cache is not None:
                cache.check(fix=True)

    @contextmanager
    def _errors_logged(self, what: str) -> Iterator[None]:
        """Context manager: log errors of the disk or of the index; a damaged index is deleted and created again."""
        try:
            yield
        except (OSError, diskcache.Timeout, sqlite3.OperationalError) as error:
            logger.warning(
                "cache %s cannot be %s; its content is computed again: %s",
                self._folder,
                what,
                error or type(error).__name__,
            )
        except sqlite3.DatabaseError as error:
            logger.warning("cache %s is damaged; it is deleted and created again: %s", self._folder, error)
            with self._guard:
                self._cache = None
                with suppress(OSError):
                    shutil.rmtree(self._folder)


class _BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Reads and writes bytes only. A pickle, which can run code (CVE-2025-69872), is treated as a miss."""

    def fetch(self, mode: int, filename: str, value: Any, read: bool) -> Any:
        if mode == MODE_PICKLE:
            raise OSError("the value is a pickle, which this cache does not read")
        return super().fetch(mode, filename, value, read)

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise OSError("the key is a pickle, which this cache does not read")
        return super().get(key, raw)


def _checksum(content: bytes | memoryview) -> bytes:
    return int(isal_zlib.crc32(content)).to_bytes(_CHECKSUM_BYTES, "little")


def pack_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Write arrays as the bytes of an .npz file."""
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpack_arrays(content: bytes) -> dict[str, Array]:
    """Inverse of `pack_arrays`."""
    with np.load(BytesIO(content)) as file:
        return {name: file[name] for name in file.files}
