"""Remarks for the users: images that cannot be used or are not learned from, with the reasons."""

from __future__ import annotations

import difflib
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wslpet.core.errors import BusyError, InputError
from wslpet.server.errors import Conflict, PacsError, StorageError, UnknownName

if TYPE_CHECKING:
    from wslpet.server.storage.datastore import SeededDatastore

# An image is read again after an error that is not in its content, such as a failing disk.
RETRY_SECONDS = 300.0


class UnusableImages:
    """Images that cannot be used, remembered until their file changes.

    Parameters
    ----------
    version : (image) → key that changes with its file; raises InputError or OSError if it cannot be read.
    """

    def __init__(self, version: Callable[[str], str]) -> None:
        self._version = version
        self._known: dict[str, tuple[str, float, str]] = {}  # image → its version, until when, and why

    def note(self, image_id: str, error: Exception) -> None:
        """Remember why an image cannot be used. Errors of the server do not count."""
        if isinstance(error, PacsError | StorageError | BusyError | UnknownName | Conflict):
            return
        until = math.inf if isinstance(error, InputError) else time.monotonic() + RETRY_SECONDS
        try:
            version = self._version(image_id)
        except (InputError, OSError):
            return
        self._known[image_id] = (version, until, str(error) or type(error).__name__)

    def reasons(self) -> dict[str, str]:
        """Image → reason, of the images that are known to be unusable."""
        found = {}
        for image, (version, until, why) in list(self._known.items()):
            try:
                known = self._version(image) == version and time.monotonic() < until
            except (InputError, OSError):
                known = False
            if known:
                found[image] = why
            else:
                self._known.pop(image, None)
        return found


def uncounted(store: SeededDatastore) -> dict[str, str]:
    """Image → why its annotation is not learned from: unknown type, or a label that could not become a seed."""
    images, classes = set(store.list_images()), store.settings.classes
    reasons = {image: why for image, why in store.label_seeds.reasons().items() if image in images}
    for image, seed in store.seeds.newest().items():
        if image in images and seed.cancer_type not in classes:
            here = ", ".join(classes)
            reasons[image] = f"annotated as {seed.cancer_type} by {seed.user}, which is no type here ({here})"
    return reasons


def remarks(store: SeededDatastore) -> list[str]:
    """Sentences about the images for the users of the server."""
    images, classes, unusable = set(store.list_images()), store.settings.classes, store.unusable()
    unknown = Counter(
        seed.cancer_type
        for image, seed in store.seeds.newest().items()
        if image in images and seed.cancer_type not in classes
    )
    sentences = [_unknown_type(name, count, classes) for name, count in sorted(unknown.items())]
    labels, unread = store.label_seeds.reasons().keys() & images, store.label_seeds.unread()
    if labels:
        sentences.append(
            f"{_patients(len(labels))} stay to be annotated though they have a label; the cohort says why."
        )
    elif unread:
        sentences.append(f"{_patients(unread)} have a label that is still being read.")
    if not images:
        sentences.append(store.trouble or f"There is no PET scan on this server ({store.name()}).")
    elif len(unusable.keys() & images) == len(images):
        first = min(images)
        sentences.append(
            f"None of the {len(images)} scans can be used; the cohort says why. {first}: {unusable[first]}"
        )
    return sentences


def _patients(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


def _unknown_type(name: str, count: int, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    new = near[0] if near else "NEW NAME"
    are = "is" if count == 1 else "are"
    return (
        f"{_patients(count)} {are} annotated as {name}, which is no type here ({', '.join(classes)}), and wait to be "
        "annotated again. If only the name changed, start the server with "
        f'--conf rename "{name}:{new}"; nothing is lost.'
    )
