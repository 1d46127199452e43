"""Scans that are being looked at, in memory: reading one takes longer than an annotator should wait for a contour."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from apps.wslpet.datastore import SeededDatastore
from lib.projection import Projection, project
from lib.readers import read_volume
from lib.volume import Volume

Kept = TypeVar("Kept")
VOLUME_BYTES = 768 * 2**20
PROJECTION_BYTES = 192 * 2**20


@dataclass(frozen=True, eq=False)
class Projected:
    """What the page shows of a scan, without its voxels.

    Parameters
    ----------
    face, profile : of the RAS volume.
    shape, spacing, affine : of the RAS volume, (x, y, z).
    """

    face: Projection
    profile: Projection
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: np.ndarray


class Scans:
    """Volumes and projections by image; those used longest ago are let go. Any number of threads may ask."""

    def __init__(self, datastore: SeededDatastore) -> None:
        self._datastore = datastore
        self._volumes: _Recent[Volume] = _Recent(VOLUME_BYTES)
        self._projections: _Recent[Projected] = _Recent(PROJECTION_BYTES)

    def volume(self, image_id: str) -> Volume:
        """The scan as stored, (i, j, k) in SUV; not to be modified. Raises what reading it raises."""
        path = self._datastore.image_path(image_id)
        key = self._datastore.image_version(image_id)
        return self._volumes.get(key, lambda: read_volume(path), lambda volume: volume.array.nbytes)

    def projected(self, image_id: str) -> Projected:
        """Both MIPs of the scan; raises what reading it raises."""
        key = self._datastore.image_version(image_id)
        return self._projections.get(key, lambda: _projected(self.volume(image_id)), _bytes)


def _projected(volume: Volume) -> Projected:
    ras = volume.to_ras()
    face, profile = project(ras)
    return Projected(face, profile, ras.shape, ras.spacing, ras.affine)


def _bytes(projected: Projected) -> int:
    return sum(view.mip.nbytes + view.depth.nbytes for view in (projected.face, projected.profile))


class _Recent(Generic[Kept]):
    """A bounded cache whose values are made once, however many threads ask at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Any, tuple[Kept, int]] = OrderedDict()
        self._making: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: Any, make: Callable[[], Kept], size: Callable[[Kept], int]) -> Kept:
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._guard:
                if key in self._kept:
                    return self._kept[key][0]
            try:
                value = make()
                with self._guard:
                    self._kept[key] = (value, size(value))
                    while len(self._kept) > 1 and sum(n for _, n in self._kept.values()) > self._limit:
                        self._kept.popitem(last=False)
            finally:
                with self._guard:
                    self._making.pop(key, None)
        return value
