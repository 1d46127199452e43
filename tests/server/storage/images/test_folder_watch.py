from __future__ import annotations

import os
import time

import pytest

from wslpet.server.storage.images import folder_watch
from wslpet.server.storage.images.folder_watch import Changes

LONG_AGO = 1_000_000_000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").write_text("")
    os.utime(tmp_path, ns=(LONG_AGO, LONG_AGO))
    return tmp_path


def test_the_first_time_files_may_have_come(folder):
    seen = Changes(lambda: [folder])
    assert [seen.may_have_been() for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "another folder"])
def test_files_that_came_or_went_are_noticed(folder, change):
    folders = [folder]
    seen = Changes(lambda: folders)
    seen.may_have_been()
    if change == "added":
        (folder / "two").write_text("")
    elif change == "removed":
        (folder / "one").unlink()
    elif change == "renamed":
        (folder / "one").rename(folder / "two")
    else:
        folders.append(folder.parent)
    assert seen.may_have_been()


def test_a_folder_that_changed_just_now_may_have_changed_again(folder, monkeypatch):
    seen = Changes(lambda: [folder])
    seen.may_have_been()
    now = time.time_ns()
    os.utime(folder, ns=(now, now))
    assert seen.may_have_been() and seen.may_have_been()
    monkeypatch.setattr(folder_watch, "SETTLED_NS", 0)  # asked again much later, for the first time
    assert [seen.may_have_been() for _ in range(2)] == [True, False]


def test_changes_without_a_new_folder_time_are_found_after_the_interval(folder, monkeypatch):
    seen = Changes(lambda: [folder])
    seen.may_have_been()
    assert not seen.may_have_been()
    monkeypatch.setattr(folder_watch, "MOST_SECONDS", 0.0)
    seen._due = 0.0
    assert seen.may_have_been()
