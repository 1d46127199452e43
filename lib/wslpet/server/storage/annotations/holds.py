"""Patients that somebody has open, on the page or in a viewer: nobody else is offered them as the next one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# A browser that has not asked for this long has closed its patients.
PAGE_SECONDS = 20.0
# A viewer says nothing while a person looks; a patient takes minutes.
VIEWER_SECONDS = 1800.0


@dataclass(frozen=True)
class _Hold:
    holder: str
    until: float


class Holds:
    """Image → who has it open, and until when that is believed."""

    def __init__(self) -> None:
        self._held: dict[str, _Hold] = {}
        self._guard = threading.Lock()

    def add(self, holder: str, images: Iterable[str], seconds: float = PAGE_SECONDS) -> None:
        """Say that somebody has these images open, too; those that another one has stay the other's.

        The holder "" is nobody and holds nothing.
        """
        with self._guard:
            now = time.monotonic()
            held = {image: hold for image, hold in self._held.items() if hold.until > now}
            for image in images if holder else ():
                if image not in held or held[image].holder == holder:
                    held[image] = _Hold(holder, now + seconds)
            self._held = held

    def release(self, holder: str) -> None:
        """Say that somebody has no image open any more."""
        with self._guard:
            self._held = {image: hold for image, hold in self._held.items() if hold.holder != holder}

    def by_others(self, holder: str, done: Callable[[str, str], bool] = lambda image, holder: False) -> set[str]:
        """Images that others have open; not, those that `done` says (of image and holder) are finished with."""
        now = time.monotonic()
        with self._guard:
            held = list(self._held.items())
        return {
            image for image, hold in held if hold.holder != holder and hold.until > now and not done(image, hold.holder)
        }
