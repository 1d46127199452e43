"""Readings of several readers in the log: who is blind, what counts, who takes back what."""

import pytest

from wslpet.core.seeds import Annotation, Seed
from wslpet.data.log_records import Remark
from wslpet.server.errors import Conflict
from wslpet.server.storage.annotations.holds import Holds
from wslpet.server.storage.annotations.readings import Readings, same_reader
from wslpet.server.storage.annotations.seed_log import SeedLog


@pytest.fixture
def log(tmp_path):
    return SeedLog(tmp_path / "seeds.jsonl")


def said(user, minute, cancer_type="lung", review=False):
    time = f"2026-01-01T00:{minute:02d}:00.000+00:00"
    return Annotation((Seed(cancer_type, (1, 2, 3), user=user, time=time),), review=review)


def test_a_reading_is_hidden_until_the_reader_has_read_too(log):
    readings = Readings(log, 2)
    assert readings.waits_for("p", "Ben")
    log.append("p", said("Ann", 1))
    assert readings.of("p").hidden_from("Ben")
    assert not readings.of("p").hidden_from("ANN ")
    assert readings.history("p", "Ben") == []
    assert readings.known_before("p", "Ben") == []
    assert (readings.waits_for("p", "Ann"), readings.waits_for("p", "Ben")) == (False, True)
    with pytest.raises(Conflict, match="hidden until 2 readers"):
        readings.check_open("p", "Ben")
    with pytest.raises(Conflict):
        readings.check_open("p", "")
    log.append("p", said("Ben", 2, "oesophagus"))
    assert not readings.of("p").hidden_from("Ben")
    assert len(readings.history("p", "Ben")) == 2
    assert readings.of("p").to_review
    assert not readings.waits_for("p", "Cy")
    readings.check_open("p", "Cy")


def test_with_one_reader_nobody_is_blind(log):
    readings = Readings(log)
    log.append("p", said("Ann", 1))
    assert not readings.of("p").hidden_from("Ben")
    assert not readings.of("p").to_review
    readings.check_open("p", "")


def test_a_reader_counts_once_and_the_consensus_counts_before_readings(log, tmp_path):
    readings = Readings(log, 2)
    for one in (said("Ann", 1), said("ann", 2, "oesophagus"), said("Ben", 3)):
        log.append("p", one)
    assert [one.cancer_type for one in readings.of("p").readings] == ["oesophagus", "lung"]
    assert log.newest()["p"].user == "Ben"
    log.append("p", said("Rev", 4, "oesophagus", review=True))
    log.append("p", said("Ann", 5))  # a viewer goes on sending a reading
    for one in (log, SeedLog(tmp_path / "seeds.jsonl")):
        assert one.newest()["p"].user == "Rev"
        assert one.newest()["p"].review
    assert readings.of("p").readings[0].time == said("Ann", 5).time
    assert not readings.of("p").to_review


def test_each_reader_withdraws_only_their_own_newest_reading(log, tmp_path):
    first, second, third = said("Ann", 1), said("Ben", 2), said("Ann", 3)
    for one in (first, second, third):
        log.append("p", one)
    with pytest.raises(Conflict, match="superseded by Ann"):
        log.withdraw("p", first.time, "Ann", own=lambda user: same_reader(user, "Ann"))
    log.withdraw("p", second.time, "Ben", own=lambda user: same_reader(user, "Ben"))
    assert SeedLog(tmp_path / "seeds.jsonl").get("p") == [first, third]
    log.withdraw("p", third.time, "Ann", own=lambda user: same_reader(user, "Ann"))
    assert log.get("p") == [first]
    with pytest.raises(Conflict, match="withdrawn already"):
        log.withdraw("p", second.time, "Ben", own=lambda user: same_reader(user, "Ben"))
    log.withdraw("p", first.time, "Ann", all_of_them=True)
    assert log.get("p") == []


def test_the_newest_remark_of_each_reader_stands_and_is_hidden_as_readings_are(log, tmp_path):
    readings = Readings(log, 2)
    log.append("p", said("Ann", 1))
    log.remark("p", Remark("Ann", "t1", unsure=True, comment="brown fat?"))
    log.remark("p", Remark("Ann", "t2", flag=True))
    log.remark("p", Remark("Ben", "t3"))
    assert readings.remarks("p", "Ann") == [Remark("Ann", "t2", flag=True)]
    assert readings.remarks("p", "Ben") == []
    assert SeedLog(tmp_path / "seeds.jsonl").get("p") == [said("Ann", 1)]


def test_patients_that_are_open_elsewhere():
    holds = Holds()
    holds.add("a", ["p", "q"])
    holds.add("b", ["p", "r"])
    assert holds.by_others("a") == {"r"}
    assert holds.by_others("b") == {"p", "q"}
    assert holds.by_others("b", lambda image, holder: image == "q") == {"p"}
    holds.release("a")
    assert holds.by_others("b") == set()
    holds.add("b", ["s"], seconds=-1)
    assert holds.by_others("a") == {"r"}
