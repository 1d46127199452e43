"""Caches on disk: bounded, shared, and never a reason to fail."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import diskcache
import numpy as np
import pytest

from wslpet.io.cache.disk_cache import DiskCache, pack_arrays, unpack_arrays

MUCH = 1 << 30
LARGE = bytes(range(256)) * 400  # beyond what lies in the index itself


def files(folder):
    return [file for file in folder.rglob("*.val")]


@pytest.mark.parametrize("content", [b"", b"short", LARGE])
def test_a_value_is_read_back_also_by_another_cache_on_the_folder(tmp_path, content):
    cache = DiskCache(tmp_path / "kept", MUCH)
    assert cache.get("key") is None and "key" not in cache and len(cache) == 0
    assert not (tmp_path / "kept").exists()
    cache.set("key", content)
    for each in (cache, DiskCache(tmp_path / "kept", MUCH)):
        assert each.get("key") == content and "key" in each and len(each) == 1
    cache.remove("key")
    assert cache.get("key") is None and files(tmp_path) == []


def test_the_least_recently_used_value_is_removed(tmp_path):
    cache = DiskCache(tmp_path / "kept", 40 * len(LARGE))
    for n in range(60):
        cache.set(str(n), LARGE)
        assert cache.get("0") == LARGE
    assert len(cache) <= 40
    assert "59" in cache and "1" not in cache


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" + content])
def test_a_value_that_is_damaged_is_a_miss(tmp_path, damage):
    cache = DiskCache(tmp_path / "kept", MUCH)
    cache.set("key", LARGE)
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get("key") is None
    cache.set("key", LARGE)
    assert cache.get("key") == LARGE


def test_a_bit_that_flipped_is_a_miss(tmp_path):
    cache = DiskCache(tmp_path / "kept", MUCH)
    cache.set("key", LARGE)
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    assert cache.get("key") is None


def test_a_damaged_index_is_deleted_and_created_again(tmp_path):
    DiskCache(tmp_path / "kept", MUCH).set("key", LARGE)
    for file in (tmp_path / "kept").glob("cache.db*"):
        file.write_bytes(b"no database" * 1000)
    cache = DiskCache(tmp_path / "kept", MUCH)
    assert cache.get("key") is None
    cache.set("key", LARGE)
    assert cache.get("key") == LARGE and len(files(tmp_path)) == 1


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    DiskCache(tmp_path / "kept", MUCH).set("key", LARGE)
    other = diskcache.Cache(str(tmp_path / "kept"))
    other.set("trap", Trap())
    other.close()
    assert DiskCache(tmp_path / "kept", MUCH).get("trap") is None
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_be_created_is_a_miss_not_an_error(tmp_path, caplog):
    (tmp_path / "kept").write_text("a file is here")
    cache = DiskCache(tmp_path / "kept", MUCH)
    cache.set("key", LARGE)
    assert cache.get("key") is None and "its content is computed again" in caplog.text


def test_a_value_is_not_stored_on_a_full_disk(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path / "kept", MUCH)
    cache.set("key", LARGE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(diskcache.Disk, "_write", full)
    cache.set("other", LARGE)
    assert cache.get("key") == LARGE and cache.get("other") is None


def test_a_locked_index_is_a_miss(tmp_path, monkeypatch):
    monkeypatch.setattr("wslpet.io.cache.disk_cache.LOCK_SECONDS", 0.1)
    cache = DiskCache(tmp_path / "kept", MUCH)
    cache.set("key", LARGE)
    held = sqlite3.connect(tmp_path / "kept" / "cache.db", isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    cache.set("other", LARGE)
    cache.get("key")
    assert time.monotonic() - start < 5
    held.execute("ROLLBACK")
    held.close()
    assert cache.get("key") == LARGE


def test_many_threads_and_caches_share_a_folder(tmp_path):
    caches = [DiskCache(tmp_path / "kept", MUCH) for _ in range(4)]

    def use(n):
        key = str(n % 5)
        caches[n % 4].set(key, LARGE + key.encode())
        return caches[(n + 1) % 4].get(key) in (None, LARGE + key.encode())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(40)))


def test_a_killed_writer_leaves_complete_values_and_no_stray_files(tmp_path):
    for _ in range(10):
        child = os.fork()
        if child == 0:
            try:
                cache = DiskCache(tmp_path / "kept", MUCH)
                for n in range(100_000):
                    cache.set(str(n % 7), LARGE + bytes([n % 7]))
            finally:
                os._exit(1)
        time.sleep(0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cache = DiskCache(tmp_path / "kept", MUCH)
        found = [(n, cache.get(str(n))) for n in range(7)]
        assert all(content in (None, LARGE + bytes([n])) for n, content in found)
        assert len(files(tmp_path)) == len(cache)


def test_files_that_the_index_does_not_name_are_removed(tmp_path):
    DiskCache(tmp_path / "kept", MUCH).set("key", LARGE)
    (tmp_path / "kept" / "former.npz").write_bytes(b"of a version before")
    cache = DiskCache(tmp_path / "kept", MUCH)
    assert not (tmp_path / "kept" / "former.npz").exists()
    assert cache.get("key") == LARGE


def test_packed_arrays_are_restored(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "name": np.array("case")}
    back = unpack_arrays(pack_arrays(arrays))
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
