"""The CT of a PET file, resampled to the PET's voxels for fusion: `NAME_ct.nii.gz` beside `NAME.nii.gz`."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.readers import decoded, ending
from wslpet.server.errors import quoted
from wslpet.server.http.fifo_semaphore import processors
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.storage.images.image_files import CT_WORD, IMAGE_ENDS

# Space for some hundred patients.
CACHE_BYTES = 4 << 30
AIR_HU = -1024
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
        self._in_memory = lru_cache(maxsize=3)(self._array)

    def path(self, image_id: str) -> Path | None:
        """Return the CT's file; None for an image without one."""
        pet = self._store.image_path(image_id)
        stem = pet.name[: len(pet.name) - len(ending(pet.name))]
        beside = (pet.with_name(f"{stem}{CT_WORD}{end}") for end in IMAGE_ENDS)
        return next((path for path in beside if path.is_file()), None)

    def array(self, image_id: str) -> Array:
        """Return the CT (x, y, z), int16 in HU, on the PET's RAS voxels.

        Raises
        ------
        InputError
            if there is no CT, or it cannot be read.
        """
        path = self.path(image_id)
        if path is None:
            raise InputError(f"image {quoted(image_id)} has no CT; put one beside it, its name ending in {CT_WORD}")
        array: Array = self._in_memory(image_id, path, f"{self._store.image_version(image_id)} {scan_key(path)}")
        return array

    def _array(self, image_id: str, path: Path, key: str) -> Array:
        with processors, self._store.checkout(image_id) as pet:
            grid = pet.to_ras()
            kept = self._kept.get(key)
            if kept is not None:
                return np.frombuffer(zlib.decompress(kept), "<i2").reshape(grid.shape)
            array = resampled(decoded(path), grid)
        self._kept.set(key, zlib.compress(array.astype("<i2").tobytes(), 1))
        return array


def resampled(ct: Volume, grid: Volume) -> Array:
    """Resample a CT to a grid, int16 (x, y, z): smoothed to the size of its voxels, then linear; air outside."""
    sigma = np.sqrt(np.maximum((np.array(grid.spacing) / np.array(ct.to_ras().spacing)) ** 2 - 1, 0)) / _FWHM
    source = ct.to_ras()
    array = np.clip(source.array, AIR_HU, 3071).astype(np.int16)
    if sigma.any():
        array = ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=2)
    back = np.linalg.inv(source.affine) @ grid.affine  # index of the grid → index of the CT
    values: Array = ndimage.affine_transform(
        array, back[:3, :3], back[:3, 3], grid.shape, order=1, mode="grid-constant", cval=AIR_HU
    )
    return values
