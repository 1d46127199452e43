"""The key of a scan in every cache: another one whenever its file is another one."""

from __future__ import annotations

import hashlib
import os
import time
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from wslpet.core.errors import InputError

# gzip's checksum of the whole content lies in a file's last eight bytes.
_END_BYTES = 1 << 16
# A file that changed so lately may change again in the same tick of its disk's clock.
_SETTLED_NS = 2_000_000_000
# Another one when what is kept of a scan means something else.
_FORMAT = 3


def scan_key(path: Path) -> str:
    """Compute the cache key of an image file, or of a folder of DICOM files.

    A digest of place, size, times and both ends of each file.

    Raises
    ------
    InputError
        when there is no such file.
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
    """Of a file that did not change since it was asked for last: no program can set st_ctime, the kernel does."""
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
