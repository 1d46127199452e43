"""A patient's MIPs and slices for the annotation page, as arrays of bytes.

SUV is sent as 16-bit numbers of steps: a step is the patient's highest SUV divided by 65,535.
"""

from __future__ import annotations

import numpy as np

from wslpet.core.arrays import Array
from wslpet.core.errors import InputError
from wslpet.method.normal.unusual import unusual_uptake
from wslpet.method.projection.mip import Views
from wslpet.method.projection.rotated import rotated_mips
from wslpet.server.errors import quoted
from wslpet.server.page.schemas.names import Plane
from wslpet.server.series.ct import FusedCt
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.storage.annotations.service import AnnotationService
from wslpet.server.tasks.findings import Unusual, map_cells
from wslpet.server.tasks.normal_uptake import known_normal

_STEPS = 65535
# By the axis that a slice is perpendicular to: x, y, z in RAS.
PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")


class PatientImages:
    """MIPs and slices of a scan, and slices of its CT."""

    def __init__(self, datastore: SeriesDatastore, annotations: AnnotationService) -> None:
        self._datastore = datastore
        self._annotations = annotations
        self._ct = FusedCt(datastore)

    def has_ct(self, image_id: str) -> bool:
        """Return whether a CT of this scan can be shown with it."""
        return self._ct.has(image_id)

    def mips(self, image_id: str) -> bytes:
        """Return little-endian uint16, (u, z) each: coronal MIP, its depth, sagittal MIP, its depth."""
        views = self._datastore.views(image_id)
        step = suv_step(views)
        return b"".join(_in_steps(view.mip, step) + view.depth.astype("<u2").tobytes() for view in views)

    def rotated_mip(self, image_id: str, degrees: float) -> bytes:
        """Return little-endian uint16, (u, z) each: a MIP at an angle, and the x and y that its pixels came from."""
        with self._annotations.opened(self._datastore.image_path(image_id)) as scan:
            rotated = rotated_mips(scan.volume.to_ras(), [degrees])[0]
        step = suv_step(self._datastore.views(image_id))
        x, y = (rotated.column[..., axis].astype("<u2").tobytes() for axis in (0, 1))
        return _in_steps(rotated.mip, step) + x + y

    def unusual(self, image_id: str) -> Unusual:
        """Return how far the uptake of the MIPs lies above normal uptake."""
        reference, of_site = known_normal(self._datastore)
        found = unusual_uptake(self._datastore.views(image_id), reference)
        maps = {view: map_cells(values, (0.0, 0.0), (1.0, 1.0)) for view, values in found.items()}
        return Unusual(maps=maps, people=reference.atlas.people, of_site=of_site)

    def slices(self, image_id: str, plane: Plane, index: int, count: int) -> bytes:
        """Return `count` neighbouring slices of the RAS volume in SUV steps, little-endian uint16.

        Axial slices are (x, y), coronal ones (x, z), sagittal ones (y, z). At the volume's end there are fewer.

        Raises
        ------
        InputError
            if the first slice does not exist.
        """
        ras = self._datastore.volume(image_id).to_ras()
        return _in_steps(_slices(ras.array, image_id, plane, index, count), suv_step(self._datastore.views(image_id)))

    def ct_slices(self, image_id: str, plane: Plane, index: int, count: int) -> bytes:
        """Return slices of the CT on the same voxels in HU, little-endian int16; see `slices` and `FusedCt.array`."""
        return _slices(self._ct.array(image_id), image_id, plane, index, count).astype("<i2").tobytes()


def suv_step(views: Views) -> float:
    """Return the SUV of one step."""
    return max(float(views.coronal.mip.max()), 1e-3) / _STEPS


def _slices(array: Array, image_id: str, plane: Plane, index: int, count: int) -> Array:
    """Return (slice, u, v) of a RAS array (x, y, z)."""
    axis = PLANES.index(plane)
    if not 0 <= index < array.shape[axis]:
        there = f"there are 0 to {array.shape[axis] - 1}"
        raise InputError(f"{plane} slice {index} of {quoted(image_id)} does not exist; {there}")
    return np.moveaxis(array, axis, 0)[index : index + count]


def _in_steps(suv: Array, step: float) -> bytes:
    return np.rint(np.clip(suv / np.float32(step), 0, _STEPS)).astype("<u2").tobytes()
