from __future__ import annotations

import json

import pytest

from wslpet.core.errors import SeedError
from wslpet.core.seeds import Annotation, Seed
from wslpet.data.log_records import Remark, Withdrawal, apply_record, read_log


def annotation(n: int, review: bool = False) -> Annotation:
    return Annotation((Seed("lung", (n, n + 0.5, -n), (n, n, n), "ann", f"2026-01-0{n}T00:00:00+00:00"),), review=review)


def line(record: dict) -> bytes:
    return json.dumps({"image": "case", **record}).encode()


def test_an_annotation_in_the_log_is_read_as_it_was_written():
    valid: dict[str, list[Annotation]] = {}
    assert apply_record(line(annotation(1).to_dict()), valid) == ("case", annotation(1))
    assert valid == {"case": [annotation(1)]}


def test_a_consensus_stays_in_force_when_a_reading_comes_after_it():
    valid: dict[str, list[Annotation]] = {}
    for one in (annotation(1), annotation(2, review=True), annotation(3)):
        apply_record(line(one.to_dict()), valid)
    assert valid["case"] == [annotation(1), annotation(3), annotation(2, review=True)]


def test_a_withdrawal_makes_the_annotation_before_it_valid_again():
    valid = {"case": [annotation(1), annotation(2)]}
    withdrawn = {"user": "ann", "withdrawn": "2026-01-05"}
    assert apply_record(line(withdrawn), valid) == ("case", Withdrawal("ann", "2026-01-05"))
    assert valid == {"case": [annotation(1)]}
    apply_record(line({**withdrawn, "of": annotation(1).time}), valid)
    assert valid == {}


def test_a_remark_changes_no_annotation():
    valid = {"case": [annotation(1)]}
    remark = Remark("ann", "2026-01-05", flag=True, comment="hilum?")
    assert apply_record(line(remark.to_dict()), valid) == ("case", remark)
    assert valid == {"case": [annotation(1)]}


def test_the_removal_of_an_image_removes_its_annotations():
    valid = {"case": [annotation(1)]}
    assert apply_record(line({"removed": "2026-01-05"}), valid) == ("case", None)
    assert valid == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"image": "case"}', b'{"image": "case", "remark": 1}'])
def test_a_line_that_is_no_record_is_refused(content):
    with pytest.raises(SeedError, match="cannot be read"):
        apply_record(content, {})


def test_unreadable_lines_of_a_log_are_named_and_the_others_are_read(tmp_path):
    log = tmp_path / "seeds.jsonl"
    log.write_bytes(b"\n".join([line(annotation(1).to_dict()), b"{", line(annotation(2).to_dict())]) + b"\n")
    annotations, problems = read_log(log)
    assert annotations == {"case": [annotation(1), annotation(2)]}
    assert len(problems) == 1 and problems[0].startswith(f"row 2 of {log}: ")
