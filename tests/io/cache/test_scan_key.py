from __future__ import annotations

import os
import time

import pytest

from tests.helpers.synthetic import write_scan
from wslpet.io.cache.scan_key import scan_key


def test_the_key_of_an_unchanged_file_comes_from_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("wslpet.io.cache.scan_key._SETTLED_NS", 0)
    path = write_scan(tmp_path, "case").path
    time.sleep(0.05)  # beyond the tick of the disk's clock
    before = scan_key(path)
    with monkeypatch.context() as patched:
        patched.setattr("wslpet.io.cache.scan_key._digest", lambda path: pytest.fail("it was read"))
        assert scan_key(path) == before
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scan_key(path) != before


def test_the_key_of_a_file_that_changed_just_now_is_computed_again(tmp_path, monkeypatch):
    path = write_scan(tmp_path, "case").path
    scan_key(path)
    monkeypatch.setattr("wslpet.io.cache.scan_key._digest", lambda path: "it was read")
    assert scan_key(path) == "it was read"
