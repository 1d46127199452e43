"""A trained network with its settings, and its file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wslpet.core.atomic_io import replacing
from wslpet.core.errors import InputError, ModelError
from wslpet.core.settings import Settings, settings_from
from wslpet.method.network.cam_net import CamNet
from wslpet.method.network.coarse_segmenter import CoarseNet
from wslpet.method.network.weights_file import read_content
from wslpet.method.shipped import SHIPPED_MODEL

FORMAT = "wslpet-1"
# Names of settings in files of version 1 of this software.
_RENAMED = {"zooms": "test_time_scales", "seed": "random_seed"}
# Settings that are no more.
_GONE = ("least_evidence",)


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready for inference.

    Parameters
    ----------
    network : in evaluation mode, on its device.
    settings : of its architecture and training.
    history : metrics of its training, JSON-ready.
    segmenter : of all lesions, learned on site; on the CPU. None is the shipped one.
    version : digest of the weights; models of the same version give the same results.
    """

    network: CamNet
    settings: Settings
    history: dict[str, Any] = field(default_factory=dict)
    segmenter: CoarseNet | None = None
    version: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        learned = {} if self.segmenter is None else self.segmenter.state_dict(prefix="segmenter.")
        for name, tensor in {**self.network.state_dict(), **learned}.items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        object.__setattr__(self, "version", digest.hexdigest()[:12])

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device


def new_network(settings: Settings) -> CamNet:
    """An untrained network, the same for the same `settings.random_seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.random_seed)
        return CamNet(settings)


def best_device() -> str:
    """Name of the device to compute on: "cuda" where there is a GPU, "cpu" elsewhere."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the settings of files of earlier versions to their current names, and drop those that are no more."""
    return {_RENAMED.get(name, name): value for name, value in settings.items() if name not in _GONE}


def save_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model file atomically."""
    content = {
        "format": FORMAT,
        "settings": model.settings.to_dict(),
        "history": model.history,
        "weights": {name: tensor.detach().cpu() for name, tensor in model.network.state_dict().items()},
        "segmenter": None if model.segmenter is None else model.segmenter.state_dict(),
    }
    with replacing(Path(path)) as temporary:
        torch.save(content, temporary)


def load_model(path: str | os.PathLike[str] = SHIPPED_MODEL, device: str = "cpu") -> Model:
    """Read a model's file, by default the shipped one; only tensors and plain values are unpickled.

    Raises
    ------
    ModelError
        when the file is missing or not a model of this package, or its weights are not finite or do not fit.
    """
    name = Path(path).name
    content = read_content(path, f"model {name}", FORMAT, "train one or copy model/pretrained_wslpet.pt", device)
    try:
        settings = settings_from(**_current_names(content["settings"]))
        network = CamNet(settings)
        network.load_state_dict(content["weights"])
        segmenter = _segmenter(content.get("segmenter"))
    except (InputError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"model {name} does not fit its own settings: {error}") from error
    for part in (network, segmenter):
        if part is not None and not all(torch.isfinite(tensor).all() for tensor in part.state_dict().values()):
            raise ModelError(f"model {name} holds weights that are not finite; train again")
    return Model(network.to(device).eval(), settings, content.get("history", {}), segmenter)


def _segmenter(weights: Mapping[str, Any] | None) -> CoarseNet | None:
    """The segmenter of a file; None in files of models that learned none."""
    if weights is None:
        return None
    segmenter = CoarseNet()
    segmenter.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
    return segmenter.eval()
