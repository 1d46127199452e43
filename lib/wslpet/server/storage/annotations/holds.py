"""Patients that a reader has open, on the page or in a viewer. They are not sent to other readers as the next one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# A hold of a browser ends if the browser has sent no request for this time.
PAGE_SECONDS = 20.0
# Duration of a viewer's hold. A viewer sends no requests while a person reads a scan, which takes minutes.
VIEWER_SECONDS = 1800.0


@dataclass(frozen=True)
class _Hold:
    holder: str
    until: float


class Holds:
    """Image → the reader who has it open, and the time at which this hold ends."""

    def __init__(self) -> None:
        self._held: dict[str, _Hold] = {}
        self._guard = threading.Lock()

    def add(self, holder: str, images: Iterable[str], seconds: float = PAGE_SECONDS) -> None:
        """Add images that a reader has open. Images that another reader has open are not changed.

        The holder "" is an unknown reader, for whom nothing is added.
        """
        with self._guard:
            now = time.monotonic()
            held = {image: hold for image, hold in self._held.items() if hold.until > now}
            for image in images if holder else ():
                if image not in held or held[image].holder == holder:
                    held[image] = _Hold(holder, now + seconds)
            self._held = held

    def release(self, holder: str) -> None:
        """Remove all holds of a reader."""
        with self._guard:
            self._held = {image: hold for image, hold in self._held.items() if hold.holder != holder}

    def by_others(self, holder: str, done: Callable[[str, str], bool] = lambda image, holder: False) -> set[str]:
        """Images that other readers have open, without those for which `done(image, holder)` is true."""
        now = time.monotonic()
        with self._guard:
            held = list(self._held.items())
        return {
            image for image, hold in held if hold.holder != holder and hold.until > now and not done(image, hold.holder)
        }
