"""The segmenter's network: that of the shipped segmenter with more channels, and a head for the cancer type (ours).

It works on the body's frame at 4 mm: the masks of real lesions, reduced to that grid and back, keep a Dice of 0.97.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from wslpet.core.arrays import Array, FloatArray
from wslpet.method.network.coarse_segmenter import GRID_MM, SATURATION_SUV, WIDTHS, CoarseNet, grid_places
from wslpet.method.normal import frame

# Pixels of the frame's grid along one of the segmenter's.
FACTOR = round(GRID_MM / frame.GRID_MM)
CHANNELS = 5
# Of the inputs: the column of the frame, which changes its sign in a mirrored image.
PLACE = 3
# Of the inputs: those that the shipped segmenter has, in its order.
SHARED = (0, 2, PLACE)


class SegmenterNet(CoarseNet):
    """`CoarseNet` with a type head: inputs (n, channel, row, column) → lesion logits (n, row, column), types (n, type).

    Parameters
    ----------
    types : number of cancer types; 0 leaves the head out.
    widths : channels of each level.
    """

    def __init__(self, types: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(CHANNELS, widths)
        self.type_head = nn.Linear(2 * widths[-1], types) if types else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        """Run the network; rows and columns must be multiples of `MULTIPLE`."""
        logits, deepest = self.run(images)
        return logits, self._types(deepest, logits)

    def _types(self, deepest: Tensor, logits: Tensor) -> Tensor | None:
        """Types from the deepest maps where lesions are (weighted by their probability), and their maximum."""
        if self.type_head is None:
            return None
        probability = logits.detach().float().sigmoid()[:, None]
        weight = F.adaptive_avg_pool2d(probability, (deepest.shape[2], deepest.shape[3])) + 1e-4
        maps = deepest.float()
        pooled = (maps * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))
        types: Tensor = self.type_head(torch.cat([pooled, (maps * weight).amax(dim=(2, 3))], dim=1))
        return types

    def start_from_shipped(self, shipped: CoarseNet) -> None:
        """Take over the weights of the shipped segmenter; channels that it has not weigh nothing at first."""
        weights = dict(shipped.state_dict())
        stem = torch.zeros_like(self.state_dict()["stem.0.weight"])
        for source, target in enumerate(SHARED):
            part = weights["stem.0.weight"][:, 4 * source : 4 * source + 4]
            stem[:, 4 * target : 4 * target + 4] = part
        self.load_state_dict({**weights, "stem.0.weight": stem}, strict=False)


def input_channels(image: Tensor, place: Tensor, view: Tensor) -> Tensor:
    """Stack the channels.

    The atlas of normal uptake is none of them: with and without it, Dice was 0.63 (122 patients, five folds).

    Parameters
    ----------
    image : (n, row, column) SUV.
    place : (n, 2, row, column) position in the frame, from `frame_places`.
    view : (n,) number of the view.

    Returns
    -------
    (n, CHANNELS, row, column).
    """
    uptake = (image / SATURATION_SUV).clamp(0, 1)
    flag = view.to(uptake.dtype)[:, None, None].expand_as(uptake)
    channels = [uptake.sqrt(), uptake, place[:, 0], place[:, 1], flag]
    return torch.stack(channels, dim=1)


def frame_places(rows: int) -> Tensor:
    """(2, row, column): the position of each pixel of the frame's first rows, as `grid_places` counts it."""
    columns = frame.FRAME_SHAPE[1] // FACTOR
    return torch.from_numpy(grid_places((rows, columns), 0.0, (columns - 1) / 2))


def reduced(images: Array) -> FloatArray:
    """Mean of the frame's pixels on the segmenter's grid, of (…, row, column); NaN where one of them is NaN.

    Rows and columns that are no multiple of `FACTOR` are filled up with NaN.
    """
    pad = [(0, 0)] * (images.ndim - 2) + [(0, -n % FACTOR) for n in images.shape[-2:]]
    values = np.pad(images.astype(np.float32), pad, constant_values=np.nan)
    blocks = values.reshape(*values.shape[:-2], values.shape[-2] // FACTOR, FACTOR, values.shape[-1] // FACTOR, FACTOR)
    result: FloatArray = blocks.mean(axis=(-3, -1))
    return result


def enlarged(image: Array, shape: tuple[int, ...]) -> FloatArray:
    """Interpolate (row, column) of the segmenter's grid to the frame's, its first rows and columns."""
    fine: FloatArray = ndimage.zoom(image.astype(np.float32), FACTOR, order=1, grid_mode=True, mode="nearest")
    return fine[: shape[0], : shape[1]]
