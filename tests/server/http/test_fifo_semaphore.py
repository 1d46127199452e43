from __future__ import annotations

import asyncio
import threading
import time
from contextvars import Context

import anyio
import pytest

from wslpet.core.errors import BusyError
from wslpet.server.http.fifo_semaphore import FifoSemaphore


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_requests_enter_in_order_of_arrival_and_no_more_than_places():
    semaphore, order, inside, most = FifoSemaphore(2), [], 0, 0
    leave = [threading.Event() for _ in range(6)]
    guard = threading.Lock()

    def visit(number):
        nonlocal inside, most
        with semaphore:
            with guard:
                order.append(number)
                inside += 1
                most = max(most, inside)
            leave[number].wait(10)
            with guard:
                inside -= 1

    visitors = []
    for number in range(6):
        visitors.append(threading.Thread(target=visit, args=(number,)))
        visitors[-1].start()
        wait_until(lambda n=number: len(order) + len(semaphore._waiting) == n + 1)
    for number in range(6):
        leave[number].set()
        visitors[number].join(10)
        wait_until(lambda n=number: len(order) == min(n + 3, 6))
    assert order == list(range(6))
    assert most == 2


def test_a_place_is_free_again_after_an_exception():
    semaphore = FifoSemaphore(1)
    for _ in range(3):
        try:
            with semaphore:
                raise ValueError("a scan that cannot be read")
        except ValueError:
            pass
    assert semaphore._free == 1


def test_a_wait_beyond_the_limit_raises_busy_and_takes_no_place(caplog):
    semaphore = FifoSemaphore(1, wait_seconds=0.0)
    with semaphore:
        with pytest.raises(BusyError, match="no processor was free"):
            Context().run(semaphore.__enter__)  # another request
        assert "a request has waited" in caplog.text
    for _ in range(2):  # the place is free again, once
        with semaphore:
            pass


def test_a_request_that_enters_at_its_time_limit_leaves_the_queue():
    semaphore = FifoSemaphore(1)
    entered = threading.Event()
    assert not semaphore._leave_queue(entered.set)
    semaphore._waiting.append(entered.set)
    assert semaphore._leave_queue(entered.set)
    assert not semaphore._waiting


def test_a_request_enters_again_also_in_a_thread_that_it_starts():
    semaphore = FifoSemaphore(1, wait_seconds=0.0)

    async def request():
        async with semaphore:
            await anyio.to_thread.run_sync(inner)
            with pytest.raises(BusyError):
                await asyncio.get_running_loop().run_in_executor(None, inner)  # another request

    def inner():
        with semaphore, semaphore:
            assert semaphore._free == 0

    asyncio.run(request())
    assert semaphore._free == 1


def test_threads_and_coroutines_share_one_queue():
    semaphore, order = FifoSemaphore(1), []

    def in_thread(name):
        with semaphore:
            order.append(name)

    async def request(name):
        async with semaphore:
            order.append(name)

    async def visits():
        async with semaphore:
            first = Context().run(asyncio.create_task, request("first"))
            await asyncio.sleep(0)
            second = threading.Thread(target=in_thread, args=("second",))
            second.start()
            await asyncio.to_thread(wait_until, lambda: len(semaphore._waiting) == 2)
            third = Context().run(asyncio.create_task, request("third"))
            given_up = Context().run(asyncio.create_task, request("given up"))
            await asyncio.sleep(0)
            assert len(semaphore._waiting) == 4
            given_up.cancel()
        await asyncio.gather(first, third)
        second.join(10)

    asyncio.run(visits())
    assert order == ["first", "second", "third"]
    assert semaphore._free == 1


def test_a_coroutine_that_waits_beyond_the_limit_gets_busy():
    semaphore = FifoSemaphore(1, wait_seconds=0.0)

    async def visit():
        async with semaphore:
            pass

    with semaphore, pytest.raises(BusyError, match="no processor was free"):
        Context().run(asyncio.run, visit())
    assert semaphore._free == 1
    assert not semaphore._waiting
