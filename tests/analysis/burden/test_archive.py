"""A zip archive that is made while it is sent."""

from __future__ import annotations

import io
import zipfile

from wslpet.analysis.burden.archive import LEFT_OUT, zipped
from wslpet.core.errors import InputError


def refused() -> bytes:
    raise InputError("no lesion")


def test_the_archive_holds_the_files_and_why_others_are_left_out() -> None:
    pieces = zipped([("a.nii.gz", lambda: b"a"), ("b-seg.dcm", refused), ("c.nii.gz", lambda: b"c" * 5000)])
    made = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert made.testzip() is None
    assert {name: made.read(name) for name in made.namelist()} == {
        "a.nii.gz": b"a",
        "c.nii.gz": b"c" * 5000,
        LEFT_OUT: b"b-seg.dcm: no lesion\n",
    }


def test_an_archive_of_nothing_can_be_opened() -> None:
    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped([])))).namelist() == []


def test_one_file_at_a_time_is_made() -> None:
    asked: list[int] = []

    def content() -> bytes:
        asked.append(1)
        return bytes(1_000_000)

    pieces = zipped([(f"p{n}", content) for n in range(50)])
    for n in range(1, 11):
        assert len(next(pieces)) < 1_100_000
        assert len(asked) == n
