"""Append-only log of the annotations on disk, one JSON record per line.

A line is valid once its newline is written. `append` writes and fsyncs a record under a file lock before it returns, so
that an acknowledged record survives a kill. An incomplete last line was never acknowledged; the next writer removes it.
Any number of processes may read and append; a reader reads only the new lines. Nothing is rewritten: a later annotation
supersedes an earlier one, a reviewer's consensus supersedes all readings, and a withdrawal, a remark, or the removal of
an image is a record, too.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from wslpet.core.atomic_io import ThreadLock, locked, sync_folder
from wslpet.core.errors import SeedError
from wslpet.core.seeds import Annotation, Seed, annotation_of
from wslpet.data.log_records import LogRecord, Remark, apply_record
from wslpet.server.errors import Conflict, StorageError, quoted

logger = logging.getLogger(__name__)

Known = Callable[[Sequence[LogRecord]], Annotation | None]


class SeedLog:
    """Annotations by image, oldest first.

    Parameters
    ----------
    path : file of the log; it and its folder are created with the first record.
    renamed : former name of a cancer type → its present name. The file keeps the former name; this class returns
        annotations with the present one.
    """

    def __init__(self, path: Path, renamed: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._renamed = dict(renamed or {})
        self._standing: dict[str, list[Annotation]] = {}
        self._history: dict[str, list[LogRecord]] = {}
        self._stamps: dict[str, int] = {}
        self._records = 0  # that were ever read
        self._read_bytes = 0
        self._guard = ThreadLock("the log of annotations")

    def append(self, image_id: str, said: Annotation | Seed, known: Known | None = None) -> Annotation:
        """Record an annotation, unless an equal one is in the log. It is on disk when this returns.

        Parameters
        ----------
        known : (history, newest last) → the equal annotation, or None. The log is locked from this search to the
            record.

        Returns
        -------
        the annotation in the log: the one given, or the one found by `known`.

        Raises
        ------
        StorageError
            if it cannot be written.
        """
        annotation = annotation_of(said)
        with self._guard, self._between_processes():
            before = None if known is None else known(self.history(image_id))
            if before is None:
                self._append({"image": image_id, **annotation.to_dict()})
            return before or annotation

    def append_first(self, image_id: str, said: Annotation | Seed) -> bool:
        """As `append`, but only if the image has no record yet. Returns whether it was recorded."""
        with self._guard, self._between_processes():
            if self.history(image_id):
                return False
            self._append({"image": image_id, **annotation_of(said).to_dict()})
        return True

    def retire(self, image_id: str) -> None:
        """Record the removal of an image, so that a new image of the same name has no annotations."""
        if self.history(image_id):
            self._write({"image": image_id, "removed": _now()})

    def remark(self, image_id: str, remark: Remark) -> None:
        """Record a remark; it is on disk when this returns."""
        self._write({"image": image_id, **remark.to_dict()})

    def withdraw(
        self, image_id: str, time: str, user: str, all_of_them: bool = False, own: Callable[[str], bool] | None = None
    ) -> None:
        """Withdraw the annotation of an image that was recorded at `time`. It is on disk when this returns.

        Parameters
        ----------
        user : name of the person who withdraws it.
        all_of_them : withdraw the annotations before it, too, so that none is valid.
        own : (user name) → whether it is the reader's. The annotation must be the newest one of this reader; with
            None, it must be the one in force.

        Raises
        ------
        Conflict
            if another annotation is the newest by now.
        StorageError
            if it cannot be written.
        """
        with self._guard, self._between_processes():
            standing = self.get(image_id)
            newest = next((said for said in reversed(standing) if own is None or own(said.user)), None)
            if newest is None or newest.time != time:
                by = "withdrawn already" if newest is None else f"superseded by {newest.user} at {newest.time}"
                raise Conflict(f"the annotation of {quoted(image_id)} from {time} was {by}; nothing was undone")
            record = {"image": image_id, "withdrawn": _now(), "user": user}
            if newest is not standing[-1] and not all_of_them:
                record["of"] = newest.time
            self._append(*[record] * (len(standing) if all_of_them else 1))

    def get(self, image_id: str) -> list[Annotation]:
        """Return the valid annotations of an image, newest last; a consensus comes after the readings."""
        with self._guard:
            self._catch_up()
            return list(self._standing.get(image_id, ()))

    def history(self, image_id: str) -> list[LogRecord]:
        """Return all annotations, withdrawals and remarks of an image, newest last."""
        with self._guard:
            self._catch_up()
            return list(self._history.get(image_id, ()))

    def counts(self) -> tuple[dict[str, int], int]:
        """Return image → number of its records; and the size of the log in bytes, which grows with every record."""
        with self._guard:
            self._catch_up()
            return {image: len(said) for image, said in self._history.items()}, self._read_bytes

    def stamps(self) -> dict[str, int]:
        """Return image → a number that each record of the image changes; numbers are those of this process."""
        with self._guard:
            self._catch_up()
            return dict(self._stamps)

    def newest(self) -> dict[str, Annotation]:
        """Image → its annotation in force: the newest consensus or, without one, the newest annotation."""
        with self._guard:
            self._catch_up()
            return {image: seeds[-1] for image, seeds in self._standing.items() if seeds}

    def _write(self, record: dict[str, Any]) -> None:
        with self._guard, self._between_processes():
            self._append(record)

    def _between_processes(self) -> AbstractContextManager[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return locked(FileLock(self.path.with_suffix(".lock")))

    def _append(self, *records: dict[str, Any]) -> None:
        line = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            end = _end_of_records(handle)
            try:
                os.ftruncate(handle, end)
                os.lseek(handle, end, os.SEEK_SET)
                while line:
                    line = line[os.write(handle, line) :]
                os.fsync(handle)
            except OSError as error:
                os.ftruncate(handle, end)
                raise StorageError(
                    f"the annotation could not be written ({error.strerror}); nothing was recorded: "
                    "free space on the server's disk and click again"
                ) from error
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)

    def _catch_up(self) -> None:
        try:
            if self.path.stat().st_size == self._read_bytes:
                return
        except FileNotFoundError:
            self._forget()
            return
        with open(self.path, "rb") as log:
            if log.seek(0, os.SEEK_END) < self._read_bytes:
                self._forget()
            log.seek(self._read_bytes)
            fresh = log.read()
        complete = fresh[: fresh.rfind(b"\n") + 1]
        for line in complete.splitlines():
            try:
                image, said = apply_record(line, self._standing)
            except SeedError as error:
                logger.error("%s: %s; it is skipped", self.path.name, error)
                continue
            self._records += 1
            self._stamps[image] = self._records
            if isinstance(said, Annotation) and said.cancer_type in self._renamed:
                said = self._retyped(image, said)
            if said is None:
                self._history.pop(image, None)
            else:
                self._history.setdefault(image, []).append(said)
        self._read_bytes += len(complete)

    def _retyped(self, image: str, said: Annotation) -> Annotation:
        """Replace a valid annotation by one with the present name of its type, and return it."""
        standing = self._standing[image]
        place = next(n for n, one in enumerate(standing) if one is said)
        standing[place] = said.with_type(self._renamed[said.cancer_type])
        return standing[place]

    def _forget(self) -> None:
        self._standing, self._history, self._stamps, self._read_bytes = {}, {}, {}, 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _end_of_records(handle: int) -> int:
    """Return the offset after the last newline; anything behind it is an incomplete record."""
    end = os.lseek(handle, 0, os.SEEK_END)
    position = end
    while position > 0:
        start = max(0, position - 4096)
        os.lseek(handle, start, os.SEEK_SET)
        newline = os.read(handle, position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
