"""Annotations on disk."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wslpet.core.seeds import BACKGROUND, Annotation, Seed, annotation_of
from wslpet.data.log_records import Withdrawal
from wslpet.server.errors import Conflict, StorageError
from wslpet.server.storage.annotations import seed_log
from wslpet.server.storage.annotations.seed_log import SeedLog


def seed(n: int, cancer_type: str = "lung") -> Seed:
    return Seed(cancer_type, (n, n + 0.5, -n), (n, n, n), "ann")


@pytest.fixture
def log(tmp_path):
    return SeedLog(tmp_path / "private" / "seeds.jsonl")


def test_history_is_kept_newest_last(log):
    for n in range(3):
        log.append("case", seed(n))
    assert [s.position[0] for s in log.get("case")] == [0, 1, 2]
    assert log.newest() == {"case": log.get("case")[-1]}
    assert log.get("other") == []


def test_a_new_reader_reads_what_was_written(log):
    log.append("case ä", seed(1, "oesophagus"))
    assert SeedLog(log.path).get("case ä") == log.get("case ä")


def test_two_writers_see_each_other(log):
    other = SeedLog(log.path)
    log.append("a", seed(1))
    other.append("b", seed(2))
    log.append("a", seed(3))
    assert set(other.newest()) == set(log.newest()) == {"a", "b"}
    assert other.newest()["a"].position[0] == 3


def test_a_torn_record_is_dropped_and_nothing_else(log):
    log.append("a", seed(1))
    with open(log.path, "ab") as file:
        file.write(b'{"image": "b", "cancer_type": "lu')
    log.append("c", seed(2))
    for reader in (log, SeedLog(log.path)):
        assert list(reader.newest()) == ["a", "c"]


def test_a_damaged_line_hides_no_other(log):
    log.append("a", seed(1))
    with open(log.path, "ab") as file:
        file.write(b"\xff\xfenonsense\n[]\n")
    log.append("b", seed(2))
    assert list(SeedLog(log.path).newest()) == ["a", "b"]


def test_a_full_disk_is_an_error_and_changes_nothing(log, monkeypatch):
    log.append("a", seed(1))
    before = log.path.read_bytes()
    write = seed_log.os.write

    def full(handle, data):
        write(handle, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seed_log.os, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        log.append("b", seed(2))
    monkeypatch.undo()
    assert log.path.read_bytes() == before
    assert list(log.newest()) == ["a"]


def test_a_removed_image_starts_anew(log):
    log.append("a", seed(1))
    log.retire("a")
    assert log.get("a") == []
    log.append("a", seed(2))
    assert len(SeedLog(log.path).get("a")) == 1


def test_many_processes_lose_nothing(log):
    program = (
        "import sys; from pathlib import Path\n"
        "from wslpet.core.seeds import Seed\n"
        "from wslpet.server.storage.annotations.seed_log import SeedLog\n"
        "log = SeedLog(Path(sys.argv[1]))\n"
        "for n in range(25): log.append(f'{sys.argv[2]}-{n}', Seed('lung', (n, 0, 0)))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(log.path), str(w)]) for w in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(log.newest()) == 75


def test_withdrawing_makes_the_seed_before_valid_and_keeps_the_history(log):
    log.append("a", seed(1))
    log.append("a", seed(2))
    log.withdraw("a", log.get("a")[-1].time, "bob")
    for reader in (log, SeedLog(log.path)):
        assert [s.position[0] for s in reader.get("a")] == [1]
        assert [type(said) for said in reader.history("a")] == [Annotation, Annotation, Withdrawal]
    log.withdraw("a", log.get("a")[-1].time, "bob")
    assert log.get("a") == [] and log.newest() == {}
    assert log.history("a")[-1].user == "bob"
    log.append("a", seed(3))
    assert [s.position[0] for s in SeedLog(log.path).get("a")] == [3]


def test_only_the_newest_seed_can_be_withdrawn(log):
    log.append("a", seed(1))
    first = log.get("a")[-1].time
    log.append("a", Seed("lung", (2, 2, 2), user="bob", time="2030-01-01T00:00:00+00:00"))
    before = log.path.read_bytes()
    with pytest.raises(Conflict, match="superseded by bob"):
        log.withdraw("a", first, "ann")
    with pytest.raises(Conflict, match="withdrawn already"):
        log.withdraw("b", first, "ann")
    assert log.path.read_bytes() == before


def test_an_equal_annotation_is_not_recorded_again(log):
    def same(history):
        return next((said for said in history if said.id == "one"), None)

    one = annotation_of(Seed("lung", (1, 2, 3), user="ann", id="one"))
    assert log.append("a", one, same) is one
    again = SeedLog(log.path)
    assert again.append("a", annotation_of(Seed("lung", (1, 2, 3), user="ann", id="one")), same) == one
    assert [seed.id for seed in again.get("a")] == ["one"]
    again.withdraw("a", one.time, "ann")
    assert log.append("a", annotation_of(Seed("lung", (1, 2, 3), user="ann", id="one")), same) == one
    assert log.get("a") == [] and len(log.history("a")) == 2


def test_many_that_come_at_once_are_recorded_once(log):
    logs, arrived = [SeedLog(log.path) for _ in range(4)], threading.Barrier(16)

    def send(n):
        arrived.wait(30)
        own = Seed("lung", (n, 0, 0), id="one")
        return logs[n % 4].append("a", own, lambda history: next(iter(history), None))

    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(send, range(16)))
    assert len(log.get("a")) == 1 and set(told) == set(log.get("a"))


def test_all_seeds_can_be_withdrawn_and_the_history_keeps_them(log):
    for n in range(3):
        log.append("a", seed(n))
    log.append("b", seed(9))
    log.withdraw("a", log.get("a")[-1].time, "bob", all_of_them=True)
    for reader in (log, SeedLog(log.path)):
        assert reader.get("a") == [] and list(reader.newest()) == ["b"]
        assert [type(said) for said in reader.history("a")] == [Annotation] * 3 + [Withdrawal] * 3
    log.append("a", seed(4))
    assert [s.position[0] for s in SeedLog(log.path).get("a")] == [4]


def test_a_removed_image_has_no_history(log):
    log.append("a", seed(1))
    log.withdraw("a", log.get("a")[-1].time, "ann")
    log.retire("a")
    assert log.history("a") == SeedLog(log.path).history("a") == []


# As version 1 wrote them: a patient a line, of one seed.
OLD = b"""{"image": "a", "cancer_type": "lung", "position": [1.0, 2.0, 3.0], "index": [4.0, 5.0, 6.0], \
"user": "ann", "time": "2025-03-01T09:00:00.000+00:00"}
{"image": "b", "cancer_type": "no tumour", "position": [0.0, 0.0, 0.0], "index": null, "user": "bob", \
"time": "2025-03-01T09:01:00.000+00:00", "id": "x1"}
{"image": "a", "cancer_type": "oesophagus", "position": [1.5, 2.0, 3.0], "index": null, "user": "bob", \
"time": "2025-03-01T09:02:00.000+00:00"}
{"image": "a", "withdrawn": "2025-03-01T09:03:00.000+00:00", "user": "bob"}
"""


def test_an_old_log_is_read_and_written_on(log):
    log.path.parent.mkdir()
    log.path.write_bytes(OLD)
    first = Seed("lung", (1, 2, 3), (4, 5, 6), "ann", "2025-03-01T09:00:00.000+00:00")
    assert log.get("a") == [Annotation((first,))]
    assert [type(said) for said in log.history("a")] == [Annotation, Annotation, Withdrawal]
    assert (log.newest()["b"].cancer_type, log.newest()["b"].id) == ("no tumour", "x1")
    several = Annotation((first, seed(7)), (seed(8, BACKGROUND),), "carl", "2026-01-01T00:00:00+00:00", "x2")
    log.append("a", several)
    assert log.path.read_bytes().startswith(OLD)
    assert SeedLog(log.path).get("a") == [Annotation((first,)), several]


def test_a_record_of_one_seed_has_the_former_format(log):
    first = Seed("lung", (1, 2, 3), (4, 5, 6), "ann", "2025-03-01T09:00:00.000+00:00")
    log.append("a", first)
    assert log.path.read_bytes() == OLD[: OLD.index(b"\n") + 1]
