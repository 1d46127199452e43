"""Locks between processes."""

import threading

import pytest
from filelock import FileLock

from wslpet.core.atomic_io import locked
from wslpet.core.errors import BusyError


def test_a_lock_held_beyond_the_time_limit_raises_busy(tmp_path, caplog):
    place = tmp_path / "store.lock"
    with locked(FileLock(place)), pytest.raises(BusyError, match=r"store\.lock was held"), locked(FileLock(place), 0.0):
        pass
    assert "waited for" in caplog.text
    with locked(FileLock(place), 0.0):
        pass


def test_a_thread_lock_is_reentrant_and_free_after_an_error(tmp_path):
    lock = FileLock(tmp_path / "store.lock")
    with pytest.raises(ZeroDivisionError), locked(lock, 0.0), locked(lock, 0.0):
        raise ZeroDivisionError
    taken = []
    thread = threading.Thread(target=lambda: taken.append(locked(FileLock(lock.lock_file), 0.0).__enter__()))
    thread.start()
    thread.join()
    assert taken == [None]
