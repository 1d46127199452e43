"""Disk cache of DICOM series that were converted to SUV, by SeriesInstanceUID; entries are written atomically.

<folder>/<uid>/<uid>.nii        SUV, float32, axes (column, row, slice)
<folder>/<uid>/info.json        how SUV was computed, what was inferred, and the version of the series
<folder>/<uid>/headers.zip      the slices' headers along k, without pixels, for labels that refer to them
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import nibabel as nib
import pydicom
from filelock import FileLock
from pydicom.dataset import Dataset

from wslpet.core.atomic_io import locked, sync_folder, write_json
from wslpet.io.dicom.headers import read_dicom, write_dicom
from wslpet.io.dicom.series import Series
from wslpet.server.errors import StorageError

_HEADERS = "headers.zip"
# Version of the computation of SUV. A series that was converted with another version is converted again.
RULES = 2
# Time limit of the wait for another process that fetches the same series from a slow PACS.
FETCH_SECONDS = 600.0


@dataclass(frozen=True)
class CachedSeries:
    """A converted series in the cache.

    Parameters
    ----------
    uid : SeriesInstanceUID.
    folder : folder of its files.
    info : content of info.json: "suv" (`Suv.to_dict`), "notes" (`Series.notes`), "shape", "spacing_mm", "version".
    """

    uid: str
    folder: Path
    info: dict[str, Any]

    @property
    def image(self) -> Path:
        return self.folder / f"{self.uid}.nii"

    def headers(self) -> list[Dataset]:
        """Read the headers of the slices along k, without pixels."""
        with ZipFile(self.folder / _HEADERS) as packed:
            return [_read(packed.read(name)) for name in sorted(packed.namelist())]

    def header(self) -> Dataset:
        """Read the header of the slice at k = 0, without pixels."""
        with ZipFile(self.folder / _HEADERS) as packed:
            return _read(packed.read(min(packed.namelist())))


class SeriesCache:
    """Series converted to NIfTI in SUV, on disk.

    Parameters
    ----------
    folder : created with the first series.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def lock(self, uid: str) -> Iterator[Path]:
        """Context manager: lock a series between threads and processes; gives an empty folder, removed at the end."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=self._folder))
        except OSError as error:
            raise _full(error) from error
        try:
            with locked(FileLock(self._folder / f".{uid}.lock"), FETCH_SECONDS):
                yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def get(self, uid: str, version: str | None = None) -> CachedSeries | None:
        """Return the series; None if the cache does not have this version of it."""
        folder = self._folder / uid
        try:
            info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if info.get("rules") != RULES or (version is not None and info["version"] != version):
            return None
        return CachedSeries(uid, folder, info)

    def put(self, uid: str, version: str, series: Series, scratch: Path) -> CachedSeries:
        """Store a series, whose lock must be held. Raises StorageError if the disk refuses it."""
        info = {
            "version": version,
            "rules": RULES,
            "suv": series.suv.to_dict(),
            "notes": list(series.notes),
            "shape": list(series.volume.shape),
            "spacing_mm": [round(spacing, 4) for spacing in series.volume.spacing],
        }
        made = CachedSeries(uid, scratch / uid, info)
        try:
            _write(made, series)
            self._swap_in(made.folder, self._folder / uid, scratch)
        except OSError as error:
            raise _full(error) from error
        return CachedSeries(uid, self._folder / uid, info)

    def _swap_in(self, made: Path, target: Path, scratch: Path) -> None:
        if target.exists():
            os.rename(target, scratch / "old")
        os.rename(made, target)
        sync_folder(self._folder)


def _write(made: CachedSeries, series: Series) -> None:
    made.folder.mkdir()
    image = nib.Nifti1Image(series.volume.array, series.volume.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, made.image)
    with open(made.image, "rb") as written:
        os.fsync(written.fileno())
    with ZipFile(made.folder / _HEADERS, "w", ZIP_DEFLATED) as packed:
        for k, path in enumerate(series.files):
            packed.writestr(f"{k:05d}.dcm", _without_pixels(path))
    write_json(made.folder / "info.json", made.info)


def _read(content: bytes) -> Dataset:
    header = pydicom.dcmread(BytesIO(content))
    plain = Dataset(header)
    plain.file_meta = header.file_meta
    return plain


def _without_pixels(path: Path) -> bytes:
    header = read_dicom(path)
    del header.PixelData
    header.remove_private_tags()
    written = BytesIO()
    write_dicom(header, written)
    return written.getvalue()


def _full(error: OSError) -> StorageError:
    return StorageError(f"a converted series could not be kept ({error.strerror}); free space on the server's disk")
