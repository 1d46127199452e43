"""A trained segmenter: network, atlas and settings; its file, and what it says of people."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError, ModelError
from wslpet.method.network.checkpoint import read_content
from wslpet.method.normal.atlas import Atlas
from wslpet.method.segmentation.network import CHANNELS, MULTIPLE, SegmenterNet, frame_places, input_channels

FORMAT = "wslpet-segmenter-1"


@dataclass(frozen=True)
class SegmenterSettings:
    """Architecture of the segmenter. types : cancer types of its head; widths : channels of each level."""

    types: tuple[str, ...] = ()
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)


@dataclass(frozen=True, eq=False)
class SegmenterOutput:
    """What the segmenter says of people.

    Parameters
    ----------
    probability : (person, view, row, column) float32 of a lesion at each pixel of the frame; 0 outside the scan.
    types : (person, type) probability of each cancer type, given that there is a lesion; empty without types.
    """

    probability: FloatArray
    types: FloatArray


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network ready for inference. history : figures of its training, JSON-ready."""

    network: SegmenterNet
    settings: SegmenterSettings
    atlas: Atlas
    history: dict[str, Any] = field(default_factory=dict)

    def predict(self, images: Array, mirror: bool = True) -> SegmenterOutput:
        """Probabilities of a lesion in people.

        Parameters
        ----------
        images : (person, view, row, column) SUV on the frame's grid, NaN outside the scan.
        mirror : whether the mean with the mirrored image is taken.
        """
        if images.ndim != 4 or images.shape[1] > len(self.atlas.quantiles):
            raise InputError(
                f"images of shape {images.shape} are not (person, view, row, column) of the atlas's "
                f"{len(self.atlas.quantiles)} views; bring them to the frame first"
            )
        probability = np.zeros(images.shape, dtype=np.float32)
        types = np.zeros((len(images), len(self.settings.types)), dtype=np.float32)
        quantiles = torch.from_numpy(self.atlas.on_grid(images.shape[2]))
        places = frame_places(images.shape[2])
        for k, person in enumerate(images):
            for view, image in enumerate(person):
                inside = np.isfinite(image)
                found, scores = self._run(image, quantiles[view], places, view, mirror)
                probability[k, view] = np.where(inside, found, 0)
                types[k] += scores / len(person)
        return SegmenterOutput(probability, types)

    @torch.inference_mode()
    def _run(
        self, image: Array, quantiles: torch.Tensor, places: torch.Tensor, view: int, mirror: bool
    ) -> tuple[Array, Array]:
        rows = np.flatnonzero(np.isfinite(image).any(axis=1))
        result = np.zeros(image.shape, dtype=np.float32)
        if not len(rows):
            return result, np.zeros(len(self.settings.types), dtype=np.float32)
        start = int(rows[0])
        stop = start + -(-(int(rows[-1]) + 1 - start) // MULTIPLE) * MULTIPLE
        window = slice(max(0, min(start, image.shape[0] - (stop - start))), min(stop, image.shape[0]))
        pixels = torch.from_numpy(np.nan_to_num(image[window].astype(np.float32)))[None]
        inputs = input_channels(pixels, quantiles[None, :, window], places[None, :, window], torch.tensor([view]))
        if mirror:
            flipped = inputs.flip(3)
            flipped[:, 5] = inputs[:, 5]
            inputs = torch.cat([inputs, flipped])
        logits, types = self.network(inputs.contiguous(memory_format=torch.channels_last))
        found = logits.sigmoid()
        result[window] = (found[0] + found[1].flip(1)).numpy() / 2 if mirror else found[0].numpy()
        scores = np.zeros(0, dtype=np.float32) if types is None else types.softmax(dim=1).mean(dim=0).numpy()
        return result, scores


def new_network(settings: SegmenterSettings, random_seed: int = 0) -> SegmenterNet:
    """An untrained network, the same for the same random seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        return SegmenterNet(CHANNELS, settings.widths, len(settings.types))


def save_segmenter(segmenter: Segmenter, path: str | os.PathLike[str]) -> None:
    """Write the segmenter with its atlas, atomically."""
    with replacing(Path(path)) as temporary:
        torch.save(segmenter_content(segmenter), temporary)


def load_segmenter(path: str | os.PathLike[str]) -> Segmenter:
    """Read a segmenter; only tensors and plain values are unpickled.

    Raises
    ------
    ModelError
        when the file is missing, or not a segmenter of this package.
    """
    name = Path(path).name
    return segmenter_from(read_content(path, f"segmenter {name}", FORMAT), name)


def segmenter_content(segmenter: Segmenter) -> dict[str, Any]:
    """Tensors and plain values that a file keeps."""
    return {
        "format": FORMAT,
        "settings": asdict(segmenter.settings),
        "history": segmenter.history,
        "weights": segmenter.network.state_dict(),
        "atlas": torch.from_numpy(segmenter.atlas.quantiles.astype(np.float16)),
        "people": segmenter.atlas.people,
    }


def segmenter_from(content: object, name: str) -> Segmenter:
    """The segmenter of a file's content; name : of the file, for errors."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"segmenter {name} is not a {FORMAT} file; train one with this version")
    try:
        settings = SegmenterSettings(**{key: tuple(value) for key, value in content["settings"].items()})
        network = new_network(settings)
        network.load_state_dict(content["weights"])
        atlas = Atlas(content["atlas"].float().numpy(), int(content["people"]))
    except (RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"segmenter {name} does not fit its own settings: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelError(f"segmenter {name} holds weights that are not finite; train again")
    return Segmenter(network.eval(), settings, atlas, content.get("history", {}))
