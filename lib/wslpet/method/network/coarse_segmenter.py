"""The segmenter: a small U-Net on MIPs at 4 mm, from any side of the body (ours); the shipped one knows phantoms.

It needs neither an atlas nor a fit to the body's frame, so that it answers before a site has any scan of its own. What
a display would saturate is cut off, and pixels of 4 mm hide the grain in which phantoms and patients differ most.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import ModelError
from wslpet.method.network.weights_file import read_content
from wslpet.method.normal.reference import MipImage
from wslpet.method.projection.mip import linear_filter
from wslpet.method.shipped import SHIPPED_SEGMENTER

FORMAT = "wslpet-coarse-segmenter-1"
GRID_MM = 4.0
SATURATION_SUV = 7.0
# Rows and columns must be multiples of this: folding, then three poolings.
MULTIPLE = 16
BODY_SHARE = 0.05
WIDTHS = (20, 40, 64, 96)
CHANNELS = 3
# An image and its mirror image, whose mean is taken.
BOTH = (1, -1)
# Of 0.003, 0.005, 0.01, 0.02, 0.05 and 0.1, Dice 0.58, 0.59, 0.59, 0.59, 0.58 and 0.57 on 55 real people (model card).
THRESHOLD = 0.01


class CoarseNet(nn.Module):
    """U-Net: inputs (n, channel, row, column) → lesion logits (n, row, column); the first level lies at 8 mm."""

    def __init__(self, channels: int = CHANNELS, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        a, b, c, e = widths
        self.stem, self.b = _block(channels * 4, a), _block(a, b)
        self.c = nn.Sequential(_block(b, c), _block(c, c))
        self.e = nn.Sequential(_block(c, e), _block(e, e))
        self.uc, self.ub, self.ua = _block(e + c, c), _block(c + b, b), _block(b + a, a)
        self.o = nn.Conv2d(a, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Run the network; rows and columns must be multiples of `MULTIPLE`."""
        return self.run(images)[0]

    def run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as of `forward`, and the deepest maps (n, channel, row / 16, column / 16)."""
        a = self.stem(F.pixel_unshuffle(images, 2))
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        e = self.e(F.max_pool2d(c, 2))
        c = self.uc(torch.cat([_up(e, c), c], dim=1))
        b = self.ub(torch.cat([_up(c, b), b], dim=1))
        return F.pixel_shuffle(self.o(self.ua(torch.cat([_up(b, a), a], dim=1))), 2)[:, 0], e


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1, inplace=True)
    )


def _up(coarse: Tensor, fine: Tensor) -> Tensor:
    return F.interpolate(coarse, size=fine.shape[2:], mode="nearest")


def input_channels(uptake: Array) -> FloatArray:
    """Channels (3, row, column) of an image (row, column) in shares of the saturation, on the grid of `GRID_MM`.

    Square root of the uptake; row below the first row of the body (400 mm is 1, less 1); column from the middle of
    the uptake (160 mm is 1).
    """
    middle = (uptake.sum(axis=0) * np.arange(uptake.shape[1])).sum() / max(float(uptake.sum()), 1e-6)
    places = grid_places(uptake.shape, _first_row(uptake), float(middle))
    channels: FloatArray = np.concatenate([np.sqrt(uptake)[None], places]).astype(np.float32)
    return channels


def grid_places(shape: tuple[int, ...], first_row: float, middle: float) -> FloatArray:
    """(2, row, column): rows below the first (400 mm is 1, less 1), columns from the middle (160 mm is 1)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    places: FloatArray = np.stack([(rows - first_row) * GRID_MM / 400 - 1, (columns - middle) * GRID_MM / 160])
    return places


def _first_row(uptake: Array) -> int:
    body = ndimage.binary_opening(uptake > BODY_SHARE)
    rows, columns = np.flatnonzero(body.sum(axis=1) > 5), np.flatnonzero(body.sum(axis=0) > 8)
    return 0 if len(rows) < 20 or len(columns) < 20 else int(rows[0])


def on_grid(image: MipImage) -> FloatArray:
    """Resample (row, column) to the grid of `GRID_MM`; aligned at the outer edge of the first row and column."""
    rows, columns = (linear_filter(n, s / GRID_MM) for n, s in zip(image.pixels.shape, image.spacing, strict=True))
    small: FloatArray = rows @ image.pixels.astype(np.float32) @ columns.T
    return small


def find(network: CoarseNet, image: MipImage, columns: Sequence[int] = BOTH) -> FloatArray:
    """Probability (row, column) of a lesion at each pixel of a MIP, see `find_on_grid`."""
    small = on_grid(replace(image, pixels=np.clip(image.pixels, 0, SATURATION_SUV)))
    return _resampled(find_on_grid(network, small, columns), image.pixels.shape, image.spacing)


@torch.inference_mode()
def find_on_grid(network: CoarseNet, small: Array, columns: Sequence[int] = BOTH) -> FloatArray:
    """Probability of a lesion in (row, column) SUV on the grid of `GRID_MM`.

    Parameters
    ----------
    columns : steps along the columns, of which the mean is taken: 1 is the image, -1 the mirrored one.
    """
    uptake = np.clip(small / SATURATION_SUV, 0, 1).astype(np.float32)
    height, width = uptake.shape
    margin = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE))
    both = [np.pad(input_channels(each), margin, mode="edge") for each in (uptake[:, ::step] for step in columns)]
    images = torch.from_numpy(np.stack(both)).contiguous(memory_format=torch.channels_last)
    found = network(images).sigmoid().numpy()[:, :height, :width]
    mean: FloatArray = np.mean([each[:, ::step] for each, step in zip(found, columns, strict=True)], axis=0)
    return mean


def _resampled(found: Array, shape: tuple[int, ...], spacing: tuple[float, float]) -> FloatArray:
    rows, columns = map(_interpolation, found.shape, shape, spacing)
    fine: FloatArray = rows @ found @ columns.T
    return fine


def _interpolation(count: int, fine: int, spacing: float) -> FloatArray:
    """Matrix (fine, count) of linear interpolation from the grid of `GRID_MM`; beyond its ends the nearest value.

    `linear_filter` would average, too, where pixels are larger than those of the grid.
    """
    at = np.clip((np.arange(fine) + 0.5) * spacing / GRID_MM - 0.5, 0, count - 1)
    weights: FloatArray = np.clip(1 - np.abs(at[:, None] - np.arange(count)), 0, None).astype(np.float32)
    return weights


def presence(probability: Array, spacing: tuple[float, float]) -> float:
    """How much speaks for a lesion at all, unbounded: the highest probability, and the area above a half."""
    pixels = (probability > 0.5).sum() * spacing[0] * spacing[1] / GRID_MM**2
    return float(np.log(probability.max() + 1e-6) + np.log1p(pixels))


def save_network(network: CoarseNet, path: str | os.PathLike[str], history: dict[str, object]) -> None:
    """Write the network in float16, atomically."""
    weights = {
        name: tensor.half() if tensor.dtype.is_floating_point else tensor
        for name, tensor in network.state_dict().items()
    }
    with replacing(Path(path)) as temporary:
        torch.save({"format": FORMAT, "weights": weights, "history": history}, temporary)


@lru_cache(2)
def load_network(path: str | os.PathLike[str] = SHIPPED_SEGMENTER) -> CoarseNet:
    """Read a network, by default the shipped one.

    Raises
    ------
    ModelError
        when the file is missing, or not such a network.
    """
    name = Path(path).name
    content = read_content(path, f"segmenter {name}", FORMAT, "install the package again, or train one")
    network = CoarseNet()
    try:
        network.load_state_dict(content["weights"])
    except (RuntimeError, KeyError) as error:
        raise ModelError(f"segmenter {name} does not fit this version: {error}") from error
    # Its convolutions then take two thirds of the time on a CPU.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.eval()
