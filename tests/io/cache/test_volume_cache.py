from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.synthetic import write_scan
from wslpet.core.errors import BusyError, InputError
from wslpet.io.cache.scan_key import scan_key
from wslpet.io.cache.volume_cache import VolumeCache, _Entry
from wslpet.io.readers import decoded_bytes, read_volume


def read(key, path):
    return read_volume(path)


def volume_of(scans, path):
    with scans.checkout(path) as held:
        return held


def never_waits(scans, monkeypatch):
    """A wait fails at once, where it would be for ever."""
    monkeypatch.setattr(scans._changed, "wait", lambda *_: pytest.fail("it waits for what only itself can give"))


def test_a_thread_waits_while_volumes_in_use_fill_the_memory(tmp_path):
    paths = [write_scan(tmp_path, f"case{n}").path for n in range(5)]
    size = decoded_bytes(paths[0])
    assert size == read_volume(paths[0]).array.nbytes
    scans = VolumeCache(read, memory_bytes=2 * size)
    most, held, guard = 0, [], threading.Lock()

    def use(path):
        nonlocal most
        with scans.checkout(path):
            with guard:
                held.append(path)
                most = max(most, len(set(held)))
            time.sleep(0.02)
            with guard:
                held.remove(path)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(use, paths * 3))
    assert most == 2
    assert scans._total() <= 2 * size


def test_a_volume_larger_than_the_limit_is_read_when_no_other_is_in_use(tmp_path):
    path = write_scan(tmp_path, "case").path
    scans = VolumeCache(read, memory_bytes=1)
    with scans.checkout(path) as volume:
        assert volume.array.size


def test_the_least_recently_used_volume_is_removed(tmp_path):
    names = []

    def counting(key, path):
        names.append(path.name)
        return read_volume(path)

    one, two, three = (write_scan(tmp_path, name).path for name in ("one", "two", "three"))
    scans = VolumeCache(counting, memory_bytes=2 * decoded_bytes(one))
    for path in (one, two, one, three, one, two):
        volume_of(scans, path)
    assert names == ["one.nii.gz", "two.nii.gz", "three.nii.gz", "two.nii.gz"]


def test_a_thread_that_holds_a_volume_may_exceed_the_limit(tmp_path, monkeypatch):
    paths = [write_scan(tmp_path, name).path for name in ("one", "two", "three", "four")]
    scans = VolumeCache(read, memory_bytes=decoded_bytes(paths[0]))
    never_waits(scans, monkeypatch)
    with scans.checkout(paths[0]), scans.checkout(paths[1]), scans.checkout(paths[2]):
        pass
    with pytest.raises(InputError, match="does not exist"), scans.checkout(tmp_path / "none.nii.gz"):
        pass
    volume_of(scans, paths[3])
    assert len(scans._volumes) == 1


@pytest.mark.parametrize("same", [True, False])
def test_a_wait_beyond_the_limit_raises_busy_with_the_reason(tmp_path, same):
    held, asked = (write_scan(tmp_path, name).path for name in ("held", "asked"))
    scans = VolumeCache(read, memory_bytes=decoded_bytes(held), wait_seconds=0.0)
    if same:  # another thread reads it, and does not come to an end
        scans._volumes[scan_key(asked)] = _Entry(decoded_bytes(asked))
    else:
        scans._volumes[scan_key(held)] = _Entry(decoded_bytes(held), read_volume(held))
    with pytest.raises(BusyError, match="another request reads it" if same else "others fill the memory"):
        volume_of(scans, asked)


def test_a_wait_is_logged(tmp_path, caplog, monkeypatch):
    held, asked = (write_scan(tmp_path, name).path for name in ("held", "asked"))
    scans = VolumeCache(read, memory_bytes=decoded_bytes(held))
    entry = scans._volumes[scan_key(held)] = _Entry(decoded_bytes(held), read_volume(held))

    def wait(seconds):  # time passes, and the other is done after that
        assert 0 < seconds < 60
        entry.users = 0
        return False

    monkeypatch.setattr(scans._changed, "wait", wait)
    assert volume_of(scans, asked).array.max() > 5
    assert "image asked.nii.gz waits: others fill the memory" in caplog.text
