"""So many at once, in the order they came."""

from __future__ import annotations

import threading
from collections import deque


class FifoSemaphore:
    """A semaphore that nobody is overtaken at: `threading`'s own lets whoever just came take what another waits for.

    Parameters
    ----------
    places : how many may be inside at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
