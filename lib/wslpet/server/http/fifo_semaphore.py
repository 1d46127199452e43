"""A first-in, first-out semaphore for threads and coroutines. `processors` limits the computations of the server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from wslpet.core.errors import BusyError
from wslpet.core.limits import CORES

logger = logging.getLogger(__name__)

# Time limit of a wait, longer than any computation. A request that exceeds it fails and may be sent again.
WAIT_SECONDS = 600.0
# Interval of log messages during a wait.
LOG_SECONDS = 30.0


class FifoSemaphore:
    """A fair, reentrant semaphore: waiting requests enter in the order of their arrival.

    `threading.Semaphore` is not fair: a new request may enter before one that waits. `with` blocks the thread while it
    waits; `async with` does not occupy a thread. A request that has entered may enter again, also in threads that it
    starts with `anyio.to_thread`, and still counts once. Such a request must not wait for a thread of a bounded pool:
    all threads of the pool may be waiting for this semaphore.

    Parameters
    ----------
    places : number of requests that may be inside at the same time.
    wait_seconds : time limit of a wait; then BusyError is raised.
    """

    def __init__(self, places: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = places
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()  # wakes one waiting request each, first in first out
        self._depth: ContextVar[int] = ContextVar("depth", default=0)  # how many times this request has entered

    def __enter__(self) -> None:
        if self._depth.get() == 0:
            self._wait_in_thread()
        self._depth.set(self._depth.get() + 1)

    def __exit__(self, *error: object) -> None:
        self._depth.set(self._depth.get() - 1)
        if self._depth.get() == 0:
            self._release()

    async def __aenter__(self) -> None:
        if self._depth.get() == 0:
            await self._wait()
        self._depth.set(self._depth.get() + 1)

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def _wait_in_thread(self) -> None:
        entered = threading.Event()
        if self._try_to_enter(entered.set):
            return
        for seconds in self._intervals(entered.set):
            if entered.wait(seconds):
                return

    async def _wait(self) -> None:
        loop, entered = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(entered.set)

        if self._try_to_enter(wake):
            return
        try:
            for seconds in self._intervals(wake):
                try:
                    await asyncio.wait_for(entered.wait(), seconds)
                    return
                except asyncio.TimeoutError:
                    continue
        except asyncio.CancelledError:
            if not self._leave_queue(wake):
                self._release()
            raise

    def _try_to_enter(self, wake: Callable[[], object]) -> bool:
        """Enter if a place is free, else join the queue. Returns whether it entered."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(wake)
            return False

    def _intervals(self, wake: Callable[[], object]) -> Iterator[float]:
        """Yield the seconds to wait until the next log message; ends if the request has entered at the last moment.

        Raises
        ------
        BusyError
            when the time limit is reached.
        """
        start = time.monotonic()
        while True:
            yield min(self._wait_seconds, LOG_SECONDS)
            waited = time.monotonic() - start
            logger.warning("a request has waited %.0f s for a processor; %d requests wait", waited, len(self._waiting))
            if waited >= self._wait_seconds:
                if not self._leave_queue(wake):
                    return
                raise BusyError(f"no processor was free within {self._wait_seconds:g} s; nothing was done: ask again")

    def _leave_queue(self, wake: Callable[[], object]) -> bool:
        """Leave the queue. Returns False if the request has entered meanwhile."""
        with self._lock:
            if wake not in self._waiting:
                return False
            self._waiting.remove(wake)
            return True

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft()()
            else:
                self._free += 1


# Limiter of all computations: requests of viewers and of the page, and predictions. One place per processor.
processors = FifoSemaphore(CORES)
