"""Active learning strategies: the choice of the next patient among those that are still to be annotated.

With several readers per patient, these are the patients that the reader who asks has not read yet.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from wslpet.core.errors import BusyError, InputError
from wslpet.method.network.checkpoint import Model
from wslpet.server.errors import PacsError, StorageError, quoted
from wslpet.server.storage.datastore import SeededDatastore
from wslpet.server.tasks.active_model import ActiveModel

logger = logging.getLogger(__name__)

# Time limit of the scoring in one request; the remaining images are scored in later requests.
SECONDS = 3.0


class _Unannotated(Strategy):
    """Base class of the strategies: chooses among the images without an annotation."""

    def candidates(self, reader: str, datastore: SeededDatastore) -> list[str]:
        """Images that a reader may get, by name: patient 2 before patient 10."""
        return datastore.waiting(reader)

    def __call__(self, request: Mapping[str, Any], datastore: SeededDatastore) -> dict[str, Any] | None:
        """Choose the next image: {"id": image, ...}, or None if all usable images are annotated.

        Images that cannot be used are skipped.

        Parameters
        ----------
        request : "exclude", a list of images that must not be chosen; "reader", the name of the reader who asks.

        Raises
        ------
        InputError
            if the remaining images cannot be reached: the PACS does not answer, or the disk is full.
        """
        exclude = request.get("exclude") or []
        if not isinstance(exclude, list) or not all(isinstance(image, str) for image in exclude):
            raise InputError(f"exclude {quoted(exclude)} is not a list of images")
        waiting = [
            image for image in self.candidates(str(request.get("reader") or ""), datastore) if image not in exclude
        ]
        unreachable: InputError | None = None
        while waiting:
            chosen = self.choose(waiting, datastore)
            try:
                datastore.check_usable(chosen["id"])
                return chosen
            except (PacsError, StorageError, BusyError) as error:
                unreachable = error
            except InputError as error:
                logger.warning("image %s is passed over: %s", chosen["id"], error)
            waiting.remove(chosen["id"])
        # The answer None would mean that these images are annotated.
        if unreachable is not None:
            raise unreachable
        datastore.check_complete()
        return None

    @abstractmethod
    def choose(self, waiting: list[str], datastore: SeededDatastore) -> dict[str, Any]:
        """Choose one of the images, of which there is at least one; they are in order by name."""


class First(_Unannotated):
    """The first patient without an annotation, by name."""

    def __init__(self, description: str = "The first patient, by name, without an annotation") -> None:
        super().__init__(description)

    def choose(self, waiting: list[str], datastore: SeededDatastore) -> dict[str, Any]:
        return {"id": waiting[0]}


class Review(First):
    """The first patient, by name, with all readings and no consensus."""

    def __init__(self) -> None:
        super().__init__("The first patient, by name, that all readers have read and nobody has reviewed")

    def candidates(self, reader: str, datastore: SeededDatastore) -> list[str]:
        return datastore.to_review()


class Random(_Unannotated):
    """A random patient without an annotation."""

    def __init__(self) -> None:
        super().__init__("A random patient without an annotation")

    def choose(self, waiting: list[str], datastore: SeededDatastore) -> dict[str, Any]:
        return {"id": random.choice(waiting)}


class Uncertainty(_Unannotated):
    """Uncertainty sampling: the patient with the lowest confidence in cancer type and tumour site together.

    Scores are cached by image and weights. Without weights the first patient is chosen.
    """

    def __init__(self, weights: ActiveModel) -> None:
        super().__init__("The patient without an annotation that the weights are least sure of")
        self._weights = weights
        self._scores: dict[str, tuple[tuple[str, str], float]] = {}  # image → ((its version, weights' version), score)
        self._guard = threading.Lock()

    def choose(self, waiting: list[str], datastore: SeededDatastore) -> dict[str, Any]:
        model = self._weights.current()
        if model is None:
            return {"id": waiting[0]}
        with self._guard:
            scores = self._scored(waiting, datastore, model)
        if not scores:
            return {"id": waiting[0]}
        best = max(scores, key=scores.__getitem__)
        return {"id": best, "uncertainty": round(scores[best], 4), "scored": len(scores), "waiting": len(waiting)}

    def _scored(self, waiting: list[str], datastore: SeededDatastore, model: Model) -> dict[str, float]:
        # In random order, so that a slow or unreadable image does not keep the same images from being scored each time.
        deadline, scores = time.monotonic() + SECONDS, {}
        self._scores = {image: self._scores[image] for image in datastore.list_images() if image in self._scores}
        for image in random.sample(waiting, len(waiting)):
            try:
                key = (datastore.image_version(image), model.version)
                known = self._scores.get(image)
                if (known is None or known[0] != key) and time.monotonic() < deadline:
                    known = self._scores[image] = (key, 1.0 - datastore.network_output(image, model).confidence)
            except (PacsError, StorageError, BusyError):
                continue
            except Exception as error:  # the image is skipped when it is chosen
                datastore.note_unusable(image, error)
                continue
            if known is not None and known[0] == key:
                scores[image] = known[1]
        return scores
