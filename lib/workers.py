"""Processes beside this one, for work in which threads would mostly wait for each other's turn at the interpreter."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from queue import LifoQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")

ROOT = Path(__file__).resolve().parents[1]
_workers: LifoQueue[_Worker] | None = None


def employ(n: int, *modules: str) -> None:
    """From now on `apart` has `n` processes, which import the modules ahead. They end with this one."""
    global _workers
    dismiss()
    if n:
        _workers = LifoQueue()
        for _ in range(n):
            _workers.put(_Worker(modules))


def dismiss() -> None:
    """From now on `apart` works in this process. No work may be under way."""
    global _workers
    while _workers is not None and not _workers.empty():
        _workers.get().end()
    _workers = None


def apart(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """`function(*arguments)`, in another process where there are any; in this one when that process fails at it.

    Parameters
    ----------
    function : of a module, by its name; with its arguments and its answer, it can be pickled.

    Raises whatever the function raises.
    """
    if _workers is None:
        return function(*arguments)
    workers, worker = _workers, _workers.get()
    try:
        done, answer = worker.do(function, arguments)
    except Exception:
        worker.end()  # what is left of its answer must not be the next caller's
        return function(*arguments)
    finally:
        workers.put(worker)
    if not done:
        raise answer
    return answer


class _Worker:
    """A process that does one thing at a time: told on its standard input, answered on its standard output."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules
        self._process: subprocess.Popen[bytes] | None = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lib.workers", *self._modules]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def do(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether it came to its end, and its answer or the error; after `end`, by another process."""
        self._process = self._process or self._started()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL))
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _work() -> None:
    # What a terminal interrupts is the process that this one works for, and with it goes its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for name in sys.argv[1:]:
        import_module(name)
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, function(*arguments))
        except Exception as error:
            answer = (False, error)
        answers.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        answers.flush()


if __name__ == "__main__":
    _work()
