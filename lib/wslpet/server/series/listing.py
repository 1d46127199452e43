"""Background search of a source of series, so that requests do not wait for a slow source."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from wslpet.core.errors import InputError

logger = logging.getLogger(__name__)

# Largest share of the time in which a source is searched.
BUSY = 0.1
# Longest wait of a request for a new search; after it, the request is answered from the search before.
PATIENCE_SECONDS = 2.0


class Listing:
    """Calls `update` in a thread of its own if its last result is older than `fresh_seconds`.

    The attribute `trouble` is the error of the last search, or None.

    Parameters
    ----------
    update : searches the source and stores the result.
    fresh_seconds : longest age of a result; it is longer for a slow source, see `BUSY`.
    """

    def __init__(self, update: Callable[[], None], fresh_seconds: float) -> None:
        self._update = update
        self._fresh_seconds = fresh_seconds
        self._guard = threading.Lock()
        self._asking: threading.Event | None = None
        self._due = 0.0
        self.trouble: InputError | None = None

    def renew(self, patience: float = PATIENCE_SECONDS, at_once: bool = False) -> None:
        """Search again if the last result is too old, or in any case (`at_once`); wait up to `patience` seconds."""
        with self._guard:
            if self._asking is not None and not at_once:
                return
            if self._asking is None:
                if not at_once and time.monotonic() < self._due:
                    return
                self._asking = threading.Event()
                threading.Thread(target=self._ask, args=(self._asking,), daemon=True, name="listing").start()
            asking = self._asking
        asking.wait(patience)

    def _ask(self, done: threading.Event) -> None:
        start, trouble = time.monotonic(), None
        try:
            self._update()
        except InputError as error:
            trouble = error
        except Exception as error:
            logger.exception("the studies could not be listed")
            trouble = InputError(f"the studies cannot be listed ({error}); see the server's log")
        if trouble is not None and str(trouble) != str(self.trouble):
            logger.warning("%s", trouble)
        self.trouble = trouble
        with self._guard:
            now = time.monotonic()
            slow = (now - start) / BUSY if trouble is None else 0.0
            self._due, self._asking = now + max(self._fresh_seconds, slow), None
        done.set()
