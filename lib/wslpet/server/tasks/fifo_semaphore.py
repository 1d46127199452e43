"""A fair semaphore: first in, first out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from wslpet.core.errors import BusyError

logger = logging.getLogger(__name__)

# Timeout: longer than any computation takes.
WAIT_SECONDS = 600.0
# Interval of log messages while waiting.
TOLD_SECONDS = 30.0


class FifoSemaphore:
    """A semaphore that grants places in order of arrival; `threading.Semaphore` lets late arrivals overtake.

    Parameters
    ----------
    places : number of concurrent holders.
    wait_seconds : the longest wait; then BusyError is raised.
    """

    def __init__(self, places: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = places
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        start = time.monotonic()
        while not turn.wait(min(self._wait_seconds, TOLD_SECONDS)):
            waited = time.monotonic() - start
            logger.warning("a request waits for a processor for %.0f s; %d wait", waited, len(self._waiting))
            if waited >= self._wait_seconds and self._gives_up(turn):
                raise BusyError(f"no processor was free within {self._wait_seconds:g} s; nothing was done: ask again")

    def _gives_up(self, turn: threading.Event) -> bool:
        """Leave the queue, unless the place was granted meanwhile."""
        with self._lock:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
