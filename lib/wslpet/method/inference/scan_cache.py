"""Scans that were read lately, and what was made of them, kept: what is asked for again comes at once.

Volumes stay in memory up to a number of bytes, those in use counted, so that many viewers at once do not fill it:
whoever would exceed it waits, but not for ever, and not while holding a volume that others may wait for. Projections
stay on disk, too, where other processes share them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from zipfile import BadZipFile

import numpy as np
import psutil

from wslpet.core.errors import BusyError, InputError
from wslpet.core.volume import Volume
from wslpet.io.readers import check_suv, decoded, decoded_bytes
from wslpet.method.inference.forward import NetworkOutput, run_network
from wslpet.method.network.checkpoint import Model
from wslpet.method.projection.mip import VIEWS, Projection, StreamingProjector, Views, project

logger = logging.getLogger(__name__)

# A share of the computer's memory, and no more than eight of the largest whole-body scans.
MEMORY_BYTES = min(psutil.virtual_memory().total // 8, 2 << 30)
VIEWS_BYTES = 256 << 20
OUTPUTS = 128
DISK_BYTES = 2 << 30
# Longer than any scan takes to read; whoever waits this long for room, or for another reader, is told to ask again.
WAIT_SECONDS = 120.0
# A wait is told in the log this often.
TOLD_SECONDS = 15.0
# gzip's checksum of the whole content lies in a file's last eight bytes.
_END_BYTES = 1 << 16
# A file that changed so lately may change again in the same tick of its disk's clock.
_SETTLED_NS = 2_000_000_000
_FORMAT = 2


@dataclass
class _Entry:
    """A volume in memory, or one that is being read (None), the users that hold it, and its bytes."""

    size: int
    volume: Volume | None = None
    users: int = 1


class ScanCache:
    """Volumes and projections by file. Threads may share it, processes its folder.

    Parameters
    ----------
    folder : for projections; made when the first is kept. None keeps them in memory only.
    memory_bytes : of volumes in memory; one that is larger is read when no other is in use.
    disk_bytes : of the folder; what was used least recently goes.
    device : that projects what was not projected while it was read, see `wslpet.method.projection.mip.project`.
    of : only what lies below this folder, or is linked to there, is kept on disk; None for all. What a session
        uploads leaves no trace.
    converted : files below this folder are DICOM series whose SUV is known; of others the values have to tell.
    wait_seconds : the longest wait for room in memory, or for another thread that reads the same file.
    """

    def __init__(
        self,
        folder: Path | None,
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
        device: str = "cpu",
        of: Path | None = None,
        converted: Path | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._disk = None if folder is None else _Folder(folder, disk_bytes)
        self._of = None if of is None else of.resolve()
        self._converted = None if converted is None else converted.resolve()
        self._memory_bytes = memory_bytes
        self._device = device
        self._wait_seconds = wait_seconds
        self._mine = threading.local()  # how many volumes a thread holds
        self._volumes: OrderedDict[str, _Entry] = OrderedDict()
        self._changed = threading.Condition()
        self._views: OrderedDict[str, Views] = OrderedDict()
        self._outputs: OrderedDict[tuple[str, str], NetworkOutput] = OrderedDict()

    @contextmanager
    def checkout(self, path: Path) -> Iterator[Volume]:
        """The volume of a file, which stays in memory at least as long as the block runs. Its array is read-only.

        A block that borrows again, as one does whose file was replaced meanwhile, is given room beyond the bound: two
        such blocks would wait for each other.

        Raises
        ------
        BusyError
            when others hold the memory, or read the file, for longer than `wait_seconds`.
        InputError
            as `wslpet.io.readers.read_volume`.
        """
        key = fingerprint(path)
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

    def volume(self, path: Path) -> Volume:
        """As `checkout`, for a moment; who keeps it for long keeps it beyond the bound."""
        with self.checkout(path) as volume:
            return volume

    def views(self, path: Path) -> Views:
        """Both projections of a file, as `wslpet.method.projection.mip.project` makes them of the volume in RAS."""
        key = fingerprint(path)
        with self._changed:
            if key in self._views:
                self._views.move_to_end(key)
                return self._views[key]
        views = None if self._disk is None else self._disk.load(key)
        if views is not None:
            self._remember(key, views)
            return views
        with self.checkout(path) as volume:
            with self._changed:
                known = self._views.get(key)
            return known or self._kept(key, path, project(volume.to_ras(), self._device))

    def _kept(self, key: str, path: Path, views: Views) -> Views:
        self._remember(key, views)
        if self._disk is not None and (
            self._of is None or self._of in (*path.absolute().parents, *path.resolve().parents)
        ):
            self._disk.save(key, views)
        return views

    def forget(self, path: Path) -> None:
        """Drop what is kept of a file that is about to be removed. Raises InputError when there is none."""
        key = fingerprint(path)
        with self._changed:
            self._views.pop(key, None)
            for look_key in [k for k in self._outputs if k[0] == key]:
                del self._outputs[look_key]
            if key in self._volumes and self._volumes[key].users == 0:
                del self._volumes[key]
        if self._disk is not None:
            self._disk.remove(key)

    def _remember(self, key: str, views: Views) -> None:
        with self._changed:
            self._views[key] = views
            while len(self._views) > 1 and sum(kept.nbytes for kept in self._views.values()) > VIEWS_BYTES:
                self._views.popitem(last=False)

    def network_output(self, path: Path, model: Model) -> NetworkOutput:
        """What a model makes of a file's projections."""
        key = (fingerprint(path), model.version)
        with self._changed:
            if key in self._outputs:
                self._outputs.move_to_end(key)
                return self._outputs[key]
        output = run_network(self.views(path), model)
        with self._changed:
            self._outputs[key] = output
            while len(self._outputs) > OUTPUTS:
                self._outputs.popitem(last=False)
        return output

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
        return self._read(key, path, entry)

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

    def _read_and_project(self, key: str, path: Path) -> Volume:
        """Both at once where the file allows it: a GPU is quicker at the second, but needs the whole of the first."""
        projecting = StreamingProjector()
        try:
            volume = decoded(path, None if self._has_views(key) else projecting.begin)
        finally:
            projected = projecting.end()
        from_file = not path.is_dir() and self._converted not in path.resolve().parents
        if projected is None:
            check_suv(volume, float(volume.array.min()), float(volume.array.max()), from_file)
            return volume
        check_suv(volume, *projected.range, from_file)
        self._kept(key, path, projected.views)
        return volume

    def _has_views(self, key: str) -> bool:
        with self._changed:
            return key in self._views or (self._disk is not None and self._disk.has(key))

    def _read(self, key: str, path: Path, entry: _Entry) -> _Entry:
        try:
            volume = self._read_and_project(key, path)
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


def fingerprint(path: Path) -> str:
    """Another text when a file, or one of a folder, is another one: by place, size, times and both ends of it.

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


@lru_cache(maxsize=4096)
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


class _Folder:
    """Projections as .npz, up to a number of bytes. A damaged file, or one that another process removed, is no file."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._new_bytes = most_bytes

    def load(self, key: str) -> Views | None:
        path = self._path(key)
        try:
            with np.load(path) as file:
                coronal, sagittal = (
                    Projection(view, file[view], file[f"depth_{view}"].astype(np.int32), tuple(file[f"spacing_{view}"]))
                    for view in VIEWS
                )
                views = Views(coronal, sagittal, file["affine"], str(file["name"]))
            os.utime(path)  # used just now
            return views
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def has(self, key: str) -> bool:
        return self._path(key).exists()

    def remove(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def save(self, key: str, views: Views) -> None:
        """Whole or not at all. A disk that is full keeps nothing, which is no error."""
        arrays = {"affine": views.affine, "name": np.array(views.name)}
        for projection in views:
            view = projection.view
            arrays |= {
                view: projection.mip,
                f"depth_{view}": projection.depth.astype(np.uint16),
                f"spacing_{view}": np.array(projection.spacing),
            }
        temporary = self._path(f".{key}.{os.getpid()}.{threading.get_ident()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.savez(temporary, **arrays)
            os.replace(temporary, self._path(key))
            self._new_bytes += views.nbytes
            if self._new_bytes > self._most_bytes // 64:  # a look at each of thousands of files takes its time
                self._new_bytes = 0
                self._trim()
        except OSError as error:
            logger.warning("projections are not kept on disk: %s", error)
            with suppress(OSError):
                temporary.unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _trim(self) -> None:
        with os.scandir(self._folder) as entries:
            files = sorted((stat.st_mtime_ns, stat.st_size, e.path) for e in entries if (stat := _stat(e)) is not None)
        total = sum(size for _, size, _ in files)
        while total > self._most_bytes and files:
            _, size, path = files.pop(0)
            Path(path).unlink(missing_ok=True)
            total -= size


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except FileNotFoundError:
        return None
