"""Background listing of a source of series, so that requests do not wait for a slow one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from wslpet.core.errors import InputError

logger = logging.getLogger(__name__)

# Asking, when it goes well, takes at most this share of the time.
BUSY = 0.1
# Nobody waits longer for the next one; what was known before is told until it comes.
PATIENCE_SECONDS = 2.0


class Listing:
    """Calls `take_in` in a thread of its own when what it took in last is no longer fresh.

    Parameters
    ----------
    take_in : asks the source and keeps the answer.
    fresh_seconds : how long an answer is good for, if the source is not a slow one.

    `trouble` is the error of the last time, None when it went well.
    """

    def __init__(self, take_in: Callable[[], None], fresh_seconds: float) -> None:
        self._take_in = take_in
        self._fresh_seconds = fresh_seconds
        self._guard = threading.Lock()
        self._asking: threading.Event | None = None
        self._due = 0.0
        self.trouble: InputError | None = None

    def renew(self, patience: float = PATIENCE_SECONDS, at_once: bool = False) -> None:
        """Ask again if it is time, and wait for the answer; `at_once` asks in any case."""
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
            self._take_in()
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
