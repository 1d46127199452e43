"""What the weights in use say of each image, kept by content: the page shows it, and strategies choose by it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from pathlib import Path

from wslpet.core.atomic_io import ThreadLock, replacing
from wslpet.core.errors import ModelError
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.network.checkpoint import Model
from wslpet.server.errors import Conflict, quoted
from wslpet.server.http.fifo_semaphore import WAIT_SECONDS, processors
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.findings import Prediction, prediction

logger = logging.getLogger(__name__)


class Predictions:
    """Made when first asked for, one at a time, and kept on disk for as long as the weights are in use.

    Parameters
    ----------
    folder : for the files, `<model version>/<image version>.json`.
    """

    def __init__(self, datastore: SeededDatastore, weights: ActiveModel, folder: Path) -> None:
        self._datastore = datastore
        self._weights = weights
        self._folder = folder
        self._known: dict[tuple[str, str], Prediction] = {}  # by version of the weights, and file name
        self._version = ""
        self._guard = threading.Lock()
        self._one_at_a_time = ThreadLock("the model", WAIT_SECONDS)

    def model_version(self) -> str | None:
        """Of the weights in use; None without, also when their file is damaged."""
        try:
            model = self._weights.current()
        except ModelError as error:
            logger.error("no predictions: %s", error)
            return None
        return None if model is None else model.version

    def of(self, image_id: str) -> Prediction:
        """What the weights say of an image.

        Raises
        ------
        ModelError
            when there are no weights, or they cannot be read.
        InputError
            when the image cannot be read.
        """
        model = self._weights.current()
        if model is None:
            raise ModelError("no weights yet for these cancer types; annotate some patients of each, then train")
        name = self._name(image_id)
        known = self._look_up(name, model)
        if known is not None:
            return known
        with self._one_at_a_time:
            known = self._look_up(name, model)
            if known is not None:
                return known
            cell_mm = model.settings.grid_mm * model.settings.stride
            seen = self._datastore.network_output(image_id, model)
            with processors, self._datastore.checkout(image_id) as volume:
                made = prediction(find_lesions(volume, model, seen), volume, cell_mm)
            if self._name(image_id) != name:
                raise Conflict(f"image {quoted(image_id)} was replaced while it was looked at; ask again")
            with replacing(self._folder / model.version / name) as temporary:
                temporary.write_text(made.model_dump_json(), encoding="utf-8")
            self._remember(name, made)
        return made

    def known(self, image_id: str) -> Prediction | None:
        """What `of` would say at once; None when it would have to look, or cannot."""
        try:
            model = self._weights.current()
        except ModelError:
            return None
        return None if model is None else self._look_up(self._name(image_id), model)

    def _name(self, image_id: str) -> str:
        version = self._datastore.image_version(image_id)
        return f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.json"

    def _look_up(self, name: str, model: Model) -> Prediction | None:
        with self._guard:
            if self._version != model.version:
                self._forget(model.version)
            known = self._known.get((model.version, name))
        if known is not None:
            return known
        try:
            kept = Prediction.model_validate_json((self._folder / model.version / name).read_bytes())
        except (OSError, ValueError):
            return None
        self._remember(name, kept)
        return kept

    def _remember(self, name: str, made: Prediction) -> None:
        """What weights said that were replaced meanwhile is nobody's answer any more."""
        with self._guard:
            if made.model_version == self._version:
                self._known[made.model_version, name] = made

    def _forget(self, version: str) -> None:
        """Drop what other weights said."""
        self._known, self._version = {}, version
        for folder in self._folder.glob("*"):
            if folder.name != version:
                shutil.rmtree(folder, ignore_errors=True)
