"""A trained segmenter: network and settings; its file, and what it says of people."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError, ModelError
from wslpet.method.network.coarse_segmenter import MULTIPLE, WIDTHS, load_network
from wslpet.method.network.weights_file import read_content
from wslpet.method.projection.mip import VIEWS
from wslpet.method.segmentation.network import PLACE, SegmenterNet, frame_places, input_channels

FORMAT = "wslpet-segmenter-3"


@dataclass(frozen=True)
class SegmenterSettings:
    """Architecture of the segmenter. types : cancer types of its head; widths : channels of each level."""

    types: tuple[str, ...] = ()
    widths: tuple[int, ...] = WIDTHS


@dataclass(frozen=True, eq=False)
class SegmenterOutput:
    """What the segmenter says of people.

    Parameters
    ----------
    probability : (person, view, row, column) float32 of a lesion at each pixel; 0 outside the scan.
    types : (person, type) probability of each cancer type, given that there is a lesion; empty without types.
    """

    probability: FloatArray
    types: FloatArray


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network ready for inference. history : figures of its training, JSON-ready."""

    network: SegmenterNet
    settings: SegmenterSettings
    history: dict[str, Any] = field(default_factory=dict)

    def predict(self, images: Array, mirror: bool = True) -> SegmenterOutput:
        """Probabilities of a lesion in people.

        Parameters
        ----------
        images : (person, view, row, column) SUV on the segmenter's grid (`network.reduced`), NaN outside the scan.
        mirror : whether the mean with the mirrored image is taken.
        """
        if images.ndim != 4 or images.shape[1] > len(VIEWS):
            raise InputError(
                f"images of shape {images.shape} are not (person, view, row, column) of {len(VIEWS)} views; "
                "bring them to the frame first"
            )
        probability = np.zeros(images.shape, dtype=np.float32)
        types = np.zeros((len(images), len(self.settings.types)), dtype=np.float32)
        places = frame_places(images.shape[2])
        for k, person in enumerate(images):
            for view, image in enumerate(person):
                found, scores = self._run(image, places, view, mirror)
                probability[k, view] = np.where(np.isfinite(image), found, 0)
                types[k] += scores / len(person)
        return SegmenterOutput(probability, types)

    @torch.inference_mode()
    def _run(self, image: Array, places: torch.Tensor, view: int, mirror: bool) -> tuple[Array, Array]:
        rows = np.flatnonzero(np.isfinite(image).any(axis=1))
        result = np.zeros(image.shape, dtype=np.float32)
        if not len(rows):
            return result, np.zeros(len(self.settings.types), dtype=np.float32)
        window = slice(int(rows[0]), int(rows[-1]) + 1)
        pixels = torch.from_numpy(np.nan_to_num(image[window].astype(np.float32)))[None]
        inputs = input_channels(pixels, places[None, :, window], torch.tensor([view]))
        inputs = F.pad(inputs, (0, 0, 0, -inputs.shape[2] % MULTIPLE), mode="replicate")
        if mirror:
            flipped = inputs.flip(3)
            flipped[:, PLACE] = inputs[:, PLACE]
            inputs = torch.cat([inputs, flipped])
        logits, types = self.network(inputs.contiguous(memory_format=torch.channels_last))
        found = logits.sigmoid()[:, : pixels.shape[1]]
        result[window] = (found[0] + found[1].flip(1)).numpy() / 2 if mirror else found[0].numpy()
        scores = np.zeros(0, dtype=np.float32) if types is None else types.softmax(dim=1).mean(dim=0).numpy()
        return result, scores


def shipped_segmenter() -> Segmenter:
    """The shipped segmenter in the body's frame; it knows the coronal view, and no types."""
    network = SegmenterNet(0)
    network.start_from_shipped(load_network())
    return Segmenter(network.eval(), SegmenterSettings())


def new_network(settings: SegmenterSettings, random_seed: int = 0) -> SegmenterNet:
    """An untrained network, the same for the same random seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        return SegmenterNet(len(settings.types), settings.widths)


def save_segmenter(segmenter: Segmenter, path: str | os.PathLike[str]) -> None:
    """Write the segmenter, atomically."""
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
    }


def segmenter_from(content: object, name: str) -> Segmenter:
    """The segmenter of a file's content; name : of the file, for errors."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"segmenter {name} is not a {FORMAT} file; train one with this version")
    try:
        settings = SegmenterSettings(**{key: tuple(value) for key, value in content["settings"].items()})
        network = new_network(settings)
        network.load_state_dict(content["weights"])
    except (RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"segmenter {name} does not fit its own settings: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelError(f"segmenter {name} holds weights that are not finite; train again")
    return Segmenter(network.eval(), settings, content.get("history", {}))
