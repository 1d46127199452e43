"""What was made of scans that were used lately: their volumes, projections and network outputs.

Volumes and network outputs stay in memory, projections on disk, too, where other processes share them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.volume import Volume
from wslpet.io.cache.disk_cache import DiskCache, pack_arrays, unpack_arrays
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.cache.volume_cache import MEMORY_BYTES, WAIT_SECONDS, VolumeCache
from wslpet.io.readers import check_suv, decoded
from wslpet.method.inference.forward import NetworkOutput, run_network
from wslpet.method.network.checkpoint import Model
from wslpet.method.projection.mip import VIEWS, Projection, StreamingProjector, Views, project

VIEWS_BYTES = 256 << 20
OUTPUTS = 128
DISK_BYTES = 2 << 30


class ScanCache:
    """Volumes, projections and network outputs by file. Threads may share it, processes its folder.

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
        self._volumes = VolumeCache(self._read_and_project, memory_bytes, wait_seconds)
        self._disk = None if folder is None else DiskCache(folder, disk_bytes)
        self._of = None if of is None else of.resolve()
        self._converted = None if converted is None else converted.resolve()
        self._device = device
        self._guard = threading.Lock()
        self._views: OrderedDict[str, Views] = OrderedDict()
        self._outputs: OrderedDict[tuple[str, str], NetworkOutput] = OrderedDict()

    def checkout(self, path: Path) -> AbstractContextManager[Volume]:
        """Hold the volume of a file in memory for a block; errors as `VolumeCache.checkout` and `read_volume`."""
        return self._volumes.checkout(path)

    def volume(self, path: Path) -> Volume:
        """As `checkout`, for a moment; who keeps it for long keeps it beyond the bound."""
        with self.checkout(path) as volume:
            return volume

    def views(self, path: Path) -> Views:
        """Both projections of a file, as `wslpet.method.projection.mip.project` makes them of the volume in RAS."""
        key = scan_key(path)
        with self._guard:
            if key in self._views:
                self._views.move_to_end(key)
                return self._views[key]
        views = self._loaded(key)
        if views is not None:
            self._remember(key, views)
            return views
        with self.checkout(path) as volume:
            with self._guard:
                known = self._views.get(key)
            return known or self._kept(key, path, project(volume.to_ras(), self._device))

    def _kept(self, key: str, path: Path, views: Views) -> Views:
        self._remember(key, views)
        if self._disk is not None and (
            self._of is None or self._of in (*path.absolute().parents, *path.resolve().parents)
        ):
            self._disk.set(key, pack_arrays(_to_arrays(views)))
        return views

    def forget(self, path: Path) -> None:
        """Drop what is kept of a file that is about to be removed. Raises InputError when there is none."""
        key = scan_key(path)
        with self._guard:
            self._views.pop(key, None)
            for output_key in [k for k in self._outputs if k[0] == key]:
                del self._outputs[output_key]
        self._volumes.forget(key)
        if self._disk is not None:
            self._disk.remove(key)

    def _remember(self, key: str, views: Views) -> None:
        with self._guard:
            self._views[key] = views
            while len(self._views) > 1 and sum(kept.nbytes for kept in self._views.values()) > VIEWS_BYTES:
                self._views.popitem(last=False)

    def network_output(self, path: Path, model: Model) -> NetworkOutput:
        """What a model makes of a file's projections."""
        key = (scan_key(path), model.version)
        with self._guard:
            if key in self._outputs:
                self._outputs.move_to_end(key)
                return self._outputs[key]
        output = run_network(self.views(path), model)
        with self._guard:
            self._outputs[key] = output
            while len(self._outputs) > OUTPUTS:
                self._outputs.popitem(last=False)
        return output

    def _loaded(self, key: str) -> Views | None:
        content = None if self._disk is None else self._disk.get(key)
        return None if content is None else _from_arrays(unpack_arrays(content))

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
        with self._guard:
            return key in self._views or (self._disk is not None and key in self._disk)


def _to_arrays(views: Views) -> dict[str, Array]:
    arrays = {"affine": views.affine, "name": np.array(views.name)}
    for projection in views:
        view = projection.view
        arrays |= {
            view: projection.mip,
            f"depth_{view}": projection.depth.astype(np.uint16),
            f"spacing_{view}": np.array(projection.spacing),
        }
    return arrays


def _from_arrays(arrays: dict[str, Array]) -> Views:
    coronal, sagittal = (
        Projection(view, arrays[view], arrays[f"depth_{view}"].astype(np.int32), tuple(arrays[f"spacing_{view}"]))
        for view in VIEWS
    )
    return Views(coronal, sagittal, arrays["affine"], str(arrays["name"]))
