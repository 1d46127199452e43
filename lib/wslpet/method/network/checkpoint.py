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
    version : digest of the weights; models of the same version give the same results.
    """

    network: CamNet
    settings: Settings
    history: dict[str, Any] = field(default_factory=dict)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
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
    }
    with replacing(Path(path)) as temporary:
        torch.save(content, temporary)


def read_content(
    path: str | os.PathLike[str], what: str, file_format: str, remedy: str = "train one", device: str = "cpu"
) -> dict[str, Any]:
    """Read a file of weights; only tensors and plain values are unpickled.

    Parameters
    ----------
    what : the thing and its name, for messages.
    file_format : that the content names.
    remedy : where the file is missing.

    Raises
    ------
    ModelError
        when the file is missing, damaged or of another format.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{what} does not exist; {remedy}") from error
    except Exception as error:
        raise ModelError(f"{what} cannot be read as weights ({type(error).__name__}); train again") from error
    if not isinstance(content, dict) or content.get("format") != file_format:
        raise ModelError(f"{what} is not a {file_format} file; train one with this version")
    return content


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
    except (InputError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"model {name} does not fit its own settings: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelError(f"model {name} holds weights that are not finite; train again")
    return Model(network.to(device).eval(), settings, content.get("history", {}))
