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


def test_who_came_first_is_first_and_no_more_are_inside_than_there_are_places():
    turns, order, inside, most = FifoSemaphore(2), [], 0, 0
    leave = [threading.Event() for _ in range(6)]
    guard = threading.Lock()

    def visit(number):
        nonlocal inside, most
        with turns:
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
        wait_until(lambda n=number: len(order) + len(turns._waiting) == n + 1)
    for number in range(6):
        leave[number].set()
        visitors[number].join(10)
        wait_until(lambda n=number: len(order) == min(n + 3, 6))
    assert order == list(range(6))
    assert most == 2


def test_a_place_is_given_back_when_the_work_fails():
    turns = FifoSemaphore(1)
    for _ in range(3):
        try:
            with turns:
                raise ValueError("a scan that cannot be read")
        except ValueError:
            pass
    assert turns._free == 1


def test_whoever_waits_too_long_is_told_and_takes_nobodys_place(caplog):
    turns = FifoSemaphore(1, wait_seconds=0.0)
    with turns:
        with pytest.raises(BusyError, match="no processor was free"):
            Context().run(turns.__enter__)  # another request
        assert "waits for a processor" in caplog.text
    for _ in range(2):  # the place is free again, once
        with turns:
            pass


def test_a_turn_that_comes_as_patience_ends_is_taken():
    turns = FifoSemaphore(1)
    turn = threading.Event()
    assert not turns._gives_up(turn.set)
    turns._waiting.append(turn.set)
    assert turns._gives_up(turn.set)
    assert not turns._waiting


def test_who_is_inside_enters_again_also_in_another_thread():
    turns = FifoSemaphore(1, wait_seconds=0.0)

    async def request():
        async with turns:
            await anyio.to_thread.run_sync(inner)
            with pytest.raises(BusyError):
                await asyncio.get_running_loop().run_in_executor(None, inner)  # another request

    def inner():
        with turns, turns:
            assert turns._free == 0

    asyncio.run(request())
    assert turns._free == 1


def test_threads_and_coroutines_wait_in_one_order():
    turns, order = FifoSemaphore(1), []

    def in_thread(name):
        with turns:
            order.append(name)

    async def request(name):
        async with turns:
            order.append(name)

    async def visits():
        async with turns:
            first = Context().run(asyncio.create_task, request("first"))
            await asyncio.sleep(0)
            second = threading.Thread(target=in_thread, args=("second",))
            second.start()
            await asyncio.to_thread(wait_until, lambda: len(turns._waiting) == 2)
            third = Context().run(asyncio.create_task, request("third"))
            given_up = Context().run(asyncio.create_task, request("given up"))
            await asyncio.sleep(0)
            assert len(turns._waiting) == 4
            given_up.cancel()
        await asyncio.gather(first, third)
        second.join(10)

    asyncio.run(visits())
    assert order == ["first", "second", "third"]
    assert turns._free == 1


def test_a_coroutine_that_waits_too_long_is_told():
    turns = FifoSemaphore(1, wait_seconds=0.0)

    async def visit():
        async with turns:
            pass

    with turns, pytest.raises(BusyError, match="no processor was free"):
        Context().run(asyncio.run, visit())
    assert turns._free == 1
    assert not turns._waiting
