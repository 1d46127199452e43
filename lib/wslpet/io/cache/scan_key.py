"""Key of a scan in all caches, which changes whenever its file changes."""

from __future__ import annotations

import hashlib
import os
import time
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from wslpet.core.errors import InputError

# Bytes at each end of a file that are part of its key. The last eight bytes of a gzip file have its checksum and size.
_END_BYTES = 1 << 16
# A file that changed within this time may change again without a new time stamp, since disks store times in steps.
_SETTLED_NS = 2_000_000_000
# Version of the cached data; another number makes all cached data invalid.
_FORMAT = 3


def scan_key(path: Path) -> str:
    """Compute the cache key of an image file, or of a folder of DICOM files.

    The key is a digest of path, inode, size, times and both ends of each file.

    Raises
    ------
    InputError
        if the file does not exist.
    """
    try:
        stat = path.stat()
        if S_ISREG(stat.st_mode) and time.time_ns() - stat.st_ctime_ns > _SETTLED_NS:
            return _known_digest(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        return _digest(path)
    except FileNotFoundError as error:
        raise InputError(f"image {path.name} does not exist") from error


@lru_cache(maxsize=1 << 15)
def _known_digest(path: Path, *times_and_place: int) -> str:
    """Return the digest of an unchanged file from memory. Only the kernel sets st_ctime, which shows any change."""
    return _digest(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256(f"{_FORMAT}|{os.path.realpath(path)}".encode())
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with open(file, "rb") as content:
            stat = os.fstat(content.fileno())
            digest.update(f"|{file.name}|{stat.st_ino}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}".encode())
            digest.update(content.read(_END_BYTES))
            content.seek(max(0, stat.st_size - _END_BYTES))
            digest.update(content.read(_END_BYTES))
    return digest.hexdigest()[:32]
