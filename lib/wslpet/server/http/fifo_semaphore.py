"""A first-in, first-out semaphore for threads and for coroutines; `processors` is the server's one limiter."""

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

# Longest wait, longer than any computation; after it the request fails and may be sent again.
WAIT_SECONDS = 600.0
# Interval at which a wait is logged.
TOLD_SECONDS = 30.0


class FifoSemaphore:
    """A fair semaphore: `threading`'s own lets whoever just came take what another waits for.

    `with` waits in a thread, `async with` without one. A request that holds a place may enter again, also in the
    threads that it starts by `anyio.to_thread`: it keeps the one place. One that holds a place must not wait for a
    thread of a bounded pool, whose threads may all wait here.

    Parameters
    ----------
    places : how many may be inside at once.
    wait_seconds : the longest wait; then BusyError is raised.
    """

    def __init__(self, places: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = places
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()  # each says to one who waits that its turn came
        self._depth: ContextVar[int] = ContextVar("depth", default=0)  # how often this request has entered

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
        turn = threading.Event()
        if self._takes_place(turn.set):
            return
        for seconds in self._patience(turn.set):
            if turn.wait(seconds):
                return

    async def _wait(self) -> None:
        loop, turn = asyncio.get_running_loop(), asyncio.Event()

        def call() -> None:
            loop.call_soon_threadsafe(turn.set)

        if self._takes_place(call):
            return
        try:
            for seconds in self._patience(call):
                try:
                    await asyncio.wait_for(turn.wait(), seconds)
                    return
                except asyncio.TimeoutError:
                    continue
        except asyncio.CancelledError:
            if not self._gives_up(call):
                self._release()
            raise

    def _takes_place(self, call: Callable[[], object]) -> bool:
        """Take a free place, else queue up; whether it was taken."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(call)
            return False

    def _patience(self, call: Callable[[], object]) -> Iterator[float]:
        """Seconds to wait before the next line in the log. Ends when the turn came as patience ended.

        Raises
        ------
        BusyError
            when the whole wait is over.
        """
        start = time.monotonic()
        while True:
            yield min(self._wait_seconds, TOLD_SECONDS)
            waited = time.monotonic() - start
            logger.warning("a request waits for a processor for %.0f s; %d wait", waited, len(self._waiting))
            if waited >= self._wait_seconds:
                if not self._gives_up(call):
                    return
                raise BusyError(f"no processor was free within {self._wait_seconds:g} s; nothing was done: ask again")

    def _gives_up(self, call: Callable[[], object]) -> bool:
        """Leave the queue; not, when the turn came just now."""
        with self._lock:
            if call not in self._waiting:
                return False
            self._waiting.remove(call)
            return True

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft()()
            else:
                self._free += 1


# Whoever computes holds a place: viewers' requests, the page's, and predictions.
processors = FifoSemaphore(CORES)
