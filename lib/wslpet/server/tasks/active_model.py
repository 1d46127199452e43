"""The model in use: the published weights or, without them, the shipped weights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from wslpet.core.settings import Settings
from wslpet.method.network.checkpoint import Model, best_device, load_model
from wslpet.method.network.registry import ModelRegistry

logger = logging.getLogger(__name__)


class ActiveModel:
    """The model in use, which is loaded again when its file changes.

    A training, in another process, renames a new file into place. The next call of `current` detects it by inode, size
    and modification time, so that the server needs no restart and never reads an incomplete file.

    Parameters
    ----------
    published : file of the weights that a training publishes.
    shipped : file of the weights that are used until then, or None.
    settings : settings of the app; weights for other cancer types are ignored.
    device : device of the network; None for the best one.
    renamed : former name of a cancer type → its name in the settings; weights may have either name.
    """

    def __init__(
        self,
        published: Path,
        shipped: Path | None,
        settings: Settings,
        device: str | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.published = published
        self.history = ModelRegistry(published)
        self._files = [path for path in (published, shipped) if path is not None]
        self.device = device or best_device()
        self._settings = settings
        self._renamed = dict(renamed or {})
        self._loaded: dict[Path, tuple[tuple[int, int, int], Model]] = {}
        self._guard = threading.Lock()

    def current(self) -> Model | None:
        """Return the model in use, or None. Raises ModelError if its file is damaged."""
        with self._guard:
            for path in self._files:
                model = self._load(path)
                if model is not None:
                    return model
        return None

    def path(self) -> Path | None:
        """Return the file of the model in use, or None."""
        return next((path for path in self._files if path.exists()), None)

    def learned_here(self) -> bool:
        """Whether the weights in use were published on this server, so that its patients may be training patients."""
        return self.path() == self.published

    def _load(self, path: Path) -> Model | None:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if path not in self._loaded or self._loaded[path][0] != stamp:
            self._loaded[path] = (stamp, self._by_new_names(load_model(path, self.device)))
            logger.info("weights %s, version %s", path.name, self._loaded[path][1].version)
        model = self._loaded[path][1]
        return model if model.settings.classes == self._settings.classes else None

    def _by_new_names(self, model: Model) -> Model:
        types = tuple(self._renamed.get(name, name) for name in model.settings.types)
        if types == model.settings.types or len(set(types)) < len(types):
            return model
        return replace(model, settings=replace(model.settings, types=types))
