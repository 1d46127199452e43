"""Paints the organs of a lifelike body."""

from __future__ import annotations

from typing import Any

from wslpet.core.arrays import Array
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.shapes import Point
from wslpet.data.phantom.lifelike.abdomen import digestive_tract, liver_and_spleen
from wslpet.data.phantom.lifelike.bones import skeleton
from wslpet.data.phantom.lifelike.frame import LifelikeBody
from wslpet.data.phantom.lifelike.head import head_and_neck
from wslpet.data.phantom.lifelike.pelvis import kidneys, pelvis
from wslpet.data.phantom.lifelike.thorax import chest
from wslpet.data.phantom.lifelike.tissue import soft_tissue, vessels


class LifelikePainter(Painter):
    """A painter of `LifelikeBody`."""

    body: LifelikeBody

    def blob(self, name: str, centre: Point, radii: Point, value: float, **shape: Any) -> None:
        """An ellipsoid, see `Painter.blob`, moved as head and pelvis lie."""
        super().blob(name, self.body.lean(centre), radii, value, **shape)

    def cord(self, name: str, points: Array, radii: Array | float, value: float, **shape: Any) -> None:
        """A tube, see `Painter.cord`, moved as head and pelvis lie."""
        super().cord(name, self.body.lean(points), radii, value, **shape)

    def paint_all(self) -> None:
        """Paint every organ, from the outside in."""
        soft_tissue(self)
        skeleton(self)
        chest(self)
        digestive_tract(self)
        liver_and_spleen(self)
        kidneys(self)
        vessels(self)
        pelvis(self)
        head_and_neck(self)
