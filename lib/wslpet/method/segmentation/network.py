"""The segmenter's network: a small U-Net on MIPs, with a head for the cancer type; and its input channels (ours).

Pixels of 2 mm are folded into channels of a 4 mm grid and unfolded at the end: the outline keeps its resolution at the
price of the coarser grid. One convolution a level: two took 2.7 times as long (benchmarked at 256 × 256 pixels).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wslpet.method.normal.frame import FRAME_SHAPE

FOLD = 2
# Rows and columns must be multiples of this: folding, then four poolings.
MULTIPLE = 32

# SUV above this looks the same to the segmenter: published MIPs saturate near it, and so do pictures on a screen.
SATURATION_SUV = 7.0
CHANNELS = 7


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1, inplace=True)
    )


class SegmenterNet(nn.Module):
    """U-Net: inputs (n, channel, row, column) → lesion logits (n, row, column), type logits (n, type).

    Parameters
    ----------
    channels : of the input.
    widths : channels of each level, finest first.
    types : number of cancer types; 0 leaves the head out.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], types: int) -> None:
        super().__init__()
        self.stem = _block(channels * FOLD**2, widths[0])
        self.down = nn.ModuleList(_block(fine, coarse) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in reversed(list(pairwise(widths))))
        self.out = nn.Conv2d(widths[0], FOLD**2, 1)
        self.type_head = nn.Linear(2 * widths[-1], types) if types else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the network; rows and columns must be multiples of `MULTIPLE`."""
        level = self.stem(F.pixel_unshuffle(images, FOLD))
        skipped = [level]
        for block in self.down:
            level = block(F.max_pool2d(level, 2))
            skipped.append(level)
        deepest = skipped.pop()
        for block in self.up:
            skip = skipped.pop()
            level = block(torch.cat([F.interpolate(level, size=skip.shape[2:], mode="nearest"), skip], dim=1))
        logits = F.pixel_shuffle(self.out(level), FOLD)[:, 0]
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


def input_channels(image: Tensor, quantiles: Tensor, place: Tensor, view: Tensor) -> Tensor:
    """Stack the channels.

    Parameters
    ----------
    image : (n, row, column) SUV.
    quantiles : (n, quantile, row, column) SUV of normal uptake at the same pixels.
    place : (n, 2, row, column) position in the frame, -1 to 1 along rows and columns.
    view : (n,) number of the view.

    Returns
    -------
    (n, CHANNELS, row, column), each within about -1 and 1.
    """
    uptake = (image / SATURATION_SUV).clamp(0, 1)
    usual, highest = (quantiles / SATURATION_SUV).clamp(0, 1).unbind(dim=1)
    flag = view.to(uptake.dtype)[:, None, None].expand_as(uptake)
    channels = [uptake.sqrt(), usual, uptake - usual, uptake - highest, place[:, 0], place[:, 1], flag]
    return torch.stack(channels, dim=1)


def frame_places(rows: int) -> Tensor:
    """(2, row, column): the position of each pixel of the frame's first rows, -1 to 1."""
    y = torch.linspace(-1, 1, FRAME_SHAPE[0])[:rows]
    x = torch.linspace(-1, 1, FRAME_SHAPE[1])
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))
