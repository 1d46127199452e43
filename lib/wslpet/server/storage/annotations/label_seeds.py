"""Seeds from final labels that were not submitted through this server.

These labels are in `labels/final` when the server starts, or are DICOM SEG on the PACS. Each is read once, in a thread,
and converted to an annotation like a submitted label. If that fails, the patient is still to be annotated, and the
reason is kept. Patients with a record in the log are skipped, also after a withdrawal.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from wslpet.core.errors import BusyError, InputError
from wslpet.server.errors import Conflict, PacsError, StorageError
from wslpet.server.storage.annotated_images import AnnotatedImages
from wslpet.server.storage.annotations.submitted_labels import annotation_from_label
from wslpet.server.storage.images.image_list import FINAL

logger = logging.getLogger(__name__)

# User of the seed, if the label names none.
USER = "label file"
# After an error that is not due to the label (no answer of the PACS, full disk), it is read again after this time.
RETRY_SECONDS = 60.0
_PASSING = (PacsError, StorageError, BusyError, OSError)


def label_stamp(store: AnnotatedImages, image: str) -> str:
    """Return a text that changes whenever the submitted label of an image changes."""
    series = store.get_label_info(image, FINAL).get("SeriesInstanceUID", "")
    try:
        file = Path(store.label_file(image, FINAL)).stat()
    except OSError:
        return f"{series}"  # on the PACS
    return f"{series} {file.st_ino} {file.st_size} {file.st_mtime_ns}"


class LabelSeeds:
    """Seeds derived from submitted labels.

    Parameters
    ----------
    store : has the labels and the seed log.
    """

    def __init__(self, store: AnnotatedImages) -> None:
        self._store = store
        self._refused: dict[str, tuple[str, float, str]] = {}  # image → label's stamp, time until it holds, reason
        self._guard = threading.Lock()
        self._reading: threading.Thread | None = None

    def renew(self, patience: float = 0.0) -> None:
        """Start to read new labels in a thread, and wait up to `patience` seconds until it ends."""
        with self._guard:
            if self._reading is None or not self._reading.is_alive():
                due = self._due()
                if not due:
                    return
                self._reading = threading.Thread(target=self._read_all, args=(due,), daemon=True, name="label-seeds")
                self._reading.start()
            reading = self._reading
        reading.join(patience)

    def reasons(self) -> dict[str, str]:
        """Image → why its label is not used, for labels that exist."""
        refused = dict(self._refused)
        return {image: refused[image][2] for image in self._without_seed() if image in refused}

    def unread(self) -> int:
        """Number of labels that are still to be read."""
        return len(self._due())

    def _due(self) -> list[str]:
        images, now = self._without_seed(), time.monotonic()
        for image in set(list(self._refused)) - set(images):
            self._refused.pop(image, None)
        stamps = {image: self._refused.get(image) for image in images}
        return [i for i, known in stamps.items() if known is None or known[0] != self._stamp(i) or known[1] < now]

    def _without_seed(self) -> list[str]:
        recorded = self._store.seeds.counts()[0]
        return sorted(image for image in self._store.get_labeled_images() if image not in recorded)

    def _stamp(self, image: str) -> str:
        """Return a text that changes with the label or with its image."""
        try:
            version = self._store.image_version(image)
        except (InputError, OSError):
            version = ""
        return f"{version} {label_stamp(self._store, image)}"

    def _read_all(self, due: list[str]) -> None:
        logger.info("reading %d labels that were not submitted through this server", len(due))
        recorded = 0
        for image in due:
            stamp, until = self._stamp(image), float("inf")
            try:
                recorded += self._read(image)
                continue
            except _PASSING as error:
                until, why = time.monotonic() + RETRY_SECONDS, str(error)
            except InputError as error:
                why = str(error)
            except Exception as error:  # one damaged file must not keep the other labels from being read
                logger.exception("label of %s", image)
                why = f"{type(error).__name__}; see the server's log"
            self._refused[image] = (stamp, until, f"its label is not learned from: {why}")
            logger.warning("image %s stays to be annotated; %s", image, self._refused[image][2])
        logger.info("%d of %d labels became seeds", recorded, len(due))

    def _read(self, image: str) -> bool:
        store = self._store
        info = {"user": USER, **store.get_label_info(image, FINAL)}
        volume = store.volume(image)
        label = store.get_label_uri(image, FINAL)
        if not label:
            raise Conflict("it was removed meanwhile")
        return store.seeds.append_first(
            image, annotation_from_label(Path(label), volume, info, store.settings, store.renamed)
        )
