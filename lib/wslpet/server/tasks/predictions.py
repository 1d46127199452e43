"""Cache of predictions by weights and image, for the page and the strategies."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

from wslpet.core.atomic_io import ThreadLock
from wslpet.core.errors import ModelError
from wslpet.io.cache.disk_cache import DiskCache
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.network.checkpoint import Model
from wslpet.server.errors import Conflict, quoted
from wslpet.server.http.fifo_semaphore import WAIT_SECONDS, processors
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.findings import Prediction, prediction

logger = logging.getLogger(__name__)

# Space for some thousand predictions.
DISK_BYTES = 256 << 20


class Predictions:
    """Predictions, computed one at a time at the first request and cached on disk.

    Parameters
    ----------
    datastore : datastore of the images.
    weights : the model in use.
    folder : folder of the cache; its keys are the version of the weights and the key of the image.
    """

    def __init__(self, datastore: SeededDatastore, weights: ActiveModel, folder: Path) -> None:
        self._datastore = datastore
        self._weights = weights
        self._least = datastore.settings.least_probability
        self._kept = DiskCache(folder, DISK_BYTES)
        self._known: dict[tuple[str, str], Prediction] = {}  # (version of the weights, key of the image) → prediction
        self._version = ""
        self._guard = threading.Lock()
        self._one_at_a_time = ThreadLock("the model", WAIT_SECONDS)

    def model_version(self) -> str | None:
        """Return the version of the weights in use; None without weights, or if their file is damaged."""
        try:
            model = self._weights.current()
        except ModelError as error:
            logger.error("no predictions: %s", error)
            return None
        return None if model is None else model.version

    def learned_here(self) -> bool:
        """As `ActiveModel.learned_here`."""
        return self._weights.learned_here()

    def get(self, image_id: str) -> Prediction:
        """Return the prediction for an image, from the cache if possible.

        Raises
        ------
        ModelError
            if there are no weights, or they cannot be read.
        Conflict
            if the image was replaced meanwhile.
        InputError
            if the image cannot be read.
        """
        model = self._weights.current()
        if model is None:
            raise ModelError("no weights yet for these cancer types; annotate some patients of each, then train")
        key = self._datastore.image_version(image_id)
        known = self._look_up(key, model)
        if known is not None:
            return known
        with self._one_at_a_time:
            known = self._look_up(key, model)
            if known is not None:
                return known
            cell_mm = model.settings.grid_mm * model.settings.stride
            output = self._datastore.network_output(image_id, model)
            with processors, self._datastore.checkout(image_id) as volume:
                made = prediction(find_lesions(volume, model, output, self._least), volume, cell_mm)
            if self._datastore.image_version(image_id) != key:
                raise Conflict(f"image {quoted(image_id)} was replaced while it was looked at; ask again")
            self._kept.set(self._disk_key(key, model), made.model_dump_json().encode())
            self._remember(key, made)
        return made

    def known(self, image_id: str) -> Prediction | None:
        """Return the prediction for an image from the cache; None if it is not there."""
        try:
            model = self._weights.current()
        except ModelError:
            return None
        return None if model is None else self._look_up(self._datastore.image_version(image_id), model)

    def is_in_memory(self, key: str) -> bool:
        """Whether the prediction for an image, given by its key, is in memory: when this changes, `known` may."""
        with self._guard:
            return (self._version, key) in self._known

    def _look_up(self, key: str, model: Model) -> Prediction | None:
        with self._guard:
            if self._version != model.version:
                self._known, self._version = {}, model.version
            known = self._known.get((model.version, key))
        if known is not None:
            return known
        content = self._kept.get(self._disk_key(key, model))
        if content is None:
            return None
        try:
            kept = Prediction.model_validate_json(content)
        except ValueError:  # written by a version of this server with another model
            return None
        self._remember(key, kept)
        return kept

    def _remember(self, key: str, made: Prediction) -> None:
        """Keep a prediction in memory, unless its weights were replaced meanwhile."""
        with self._guard:
            if made.model_version == self._version:
                self._known[made.model_version, key] = made

    def _disk_key(self, key: str, model: Model) -> str:
        return json.dumps([model.version, key, self._least])
