"""Input channels of the segmenter: uptake, what is normal there, the excess over it, and the place in the body."""

from __future__ import annotations

import torch
from torch import Tensor

from wslpet.method.normal.frame import FRAME_SHAPE

# SUV above this looks the same to the segmenter: published MIPs saturate near it, and so do pictures on a screen.
SATURATION_SUV = 7.0
CHANNELS = 7


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
