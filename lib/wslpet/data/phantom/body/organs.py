"""Physiological uptake of each organ of the plain body."""

from __future__ import annotations

from wslpet.data.phantom.body.head import head_and_neck
from wslpet.data.phantom.body.painter import Painter
from wslpet.data.phantom.body.tissue import skeleton, soft_tissue
from wslpet.data.phantom.body.trunk import abdomen, chest


class PlainPainter(Painter):
    """A painter of the plain body."""

    def paint_all(self) -> None:
        """Paint every organ, from the outside in."""
        soft_tissue(self)
        skeleton(self)
        chest(self)
        abdomen(self)
        head_and_neck(self)
