"""The CT of a PET, resampled to the PET's voxels for fusion.

Of a PET file `NAME.nii.gz` it is `NAME_ct.nii.gz` beside it. Of a DICOM series it is the CT series of the same study
and frame of reference that covers the most (`SeriesSource.ct`), in a folder or on a PACS.
"""

from __future__ import annotations

import logging
import tempfile
import time
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.atomic_io import ThreadLock
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.dicom.ct import AIR_HU, DENSEST_HU, read_ct
from wslpet.io.readers import decoded, ending
from wslpet.server.errors import quoted
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.series.cache import FETCH_SECONDS
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.source import FoundSeries
from wslpet.server.storage.images.image_files import CT_WORD, IMAGE_ENDS

logger = logging.getLogger(__name__)

# Space for some hundred patients.
CACHE_BYTES = 4 << 30
# A PACS is asked again after this time whether a study has a CT.
FOUND_SECONDS = 60.0
# One patient's CT on its way should keep few others waiting.
_LOCKS = 16
# Full width at half maximum of a Gaussian, in standard deviations.
_FWHM = 2.355


class FusedCt:
    """CTs on the grids of their PETs, resampled once and cached.

    Parameters
    ----------
    datastore : datastore of the PET images.
    """

    def __init__(self, datastore: SeriesDatastore) -> None:
        self._store = datastore
        self._kept = DiskCache(datastore.private / "ct", CACHE_BYTES)
        self._known: dict[str, tuple[float, FoundSeries | None]] = {}
        self._locks = [ThreadLock("the CT", FETCH_SECONDS) for _ in range(_LOCKS)]
        self._in_memory = lru_cache(maxsize=3)(self._array)

    def has(self, image_id: str) -> bool:
        """Whether an image has a CT. A PACS that does not answer has none."""
        return self._found(image_id) is not None

    def array(self, image_id: str) -> Array:
        """Return the CT (x, y, z), int16 in HU, on the PET's RAS voxels.

        Raises
        ------
        InputError
            if there is no CT, or it cannot be read.
        PacsError
            if the PACS does not send it.
        """
        found = self._found(image_id)
        if found is None:
            raise InputError(
                f"image {quoted(image_id)} has no CT; put one beside it, its name ending in {CT_WORD}, or a DICOM "
                "series in the PET's study and frame of reference"
            )
        version = scan_key(found) if isinstance(found, Path) else f"{found.uid} {found.version}"
        with self._locks[hash(image_id) % _LOCKS]:  # all slices are asked for at once, and it is resampled once
            array: Array = self._in_memory(image_id, f"{self._store.image_version(image_id)} {version}")
        return array

    def _found(self, image_id: str) -> Path | FoundSeries | None:
        if not self._store.is_series(image_id):
            return _beside(self._store.image_path(image_id))
        when, found = self._known.get(image_id, (-FOUND_SECONDS, None))
        if time.monotonic() - when > FOUND_SECONDS:
            header = self._store.header(image_id) or Dataset()
            study, frame = (str(header.get(tag) or "") for tag in ("StudyInstanceUID", "FrameOfReferenceUID"))
            try:
                found = self._store.source.ct(study, frame) if study and frame else None
            except InputError as error:
                logger.warning("series %s is shown without its CT: %s", image_id, error)
                found = None
            self._known[image_id] = (time.monotonic(), found)
        return found

    def _array(self, image_id: str, key: str) -> Array:
        kept = self._kept.get(key)
        if kept is not None:
            with self._store.checkout(image_id) as pet:
                shape = pet.to_ras().shape
            return np.frombuffer(zlib.decompress(kept), "<i2").reshape(shape)
        ct = self._read(image_id)
        with processors, self._store.checkout(image_id) as pet:
            array = resampled(ct, pet.to_ras())
        self._kept.set(key, zlib.compress(array.astype("<i2").tobytes(), 1))
        return array

    def _read(self, image_id: str) -> Volume:
        found = self._found(image_id)
        if found is None:
            raise InputError(f"the CT of {quoted(image_id)} is gone; open the patient again")
        if isinstance(found, Path):
            return decoded(found)
        with self._store.checkout(image_id) as pet:
            spacing = min(pet.spacing)
        with tempfile.TemporaryDirectory() as folder:
            return read_ct(self._store.source.fetch(found, Path(folder)), spacing)


def _beside(pet: Path) -> Path | None:
    stem = pet.name[: len(pet.name) - len(ending(pet.name))]
    beside = (pet.with_name(f"{stem}{CT_WORD}{end}") for end in IMAGE_ENDS)
    return next((path for path in beside if path.is_file()), None)


def resampled(ct: Volume, grid: Volume) -> Array:
    """Resample a CT to a grid, int16 (x, y, z): smoothed to the size of its voxels, then linear; air outside."""
    sigma = np.sqrt(np.maximum((np.array(grid.spacing) / np.array(ct.to_ras().spacing)) ** 2 - 1, 0)) / _FWHM
    source = ct.to_ras()
    array = np.clip(source.array, AIR_HU, DENSEST_HU).astype(np.int16)
    if sigma.any():
        array = ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=2)
    back = np.linalg.inv(source.affine) @ grid.affine  # index of the grid → index of the CT
    values: Array = ndimage.affine_transform(
        array, back[:3, :3], back[:3, 3], grid.shape, order=1, mode="grid-constant", cval=AIR_HU
    )
    return values
