"""Radiomics of the cohort as a job: progress, what is left out, who may see which rows."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.helpers.blobs import empty, scan
from wslpet.analysis.radiomics import radiomics
from wslpet.core.errors import InputError
from wslpet.core.seeds import Annotation, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.burden import MeasuredScan, annotated_burden
from wslpet.server.errors import Conflict
from wslpet.server.page.tables.radiomics import RadiomicsJob, columns

CENTRES = ((20, 20, 24), (10, 10, 10))


class Cohort:
    """What of the burden and of the datastore the job asks for: two patients, one of whom cannot be read."""

    def __init__(self, private: Path) -> None:
        self.private = private
        ras = empty((40, 32, 36), (5.0, 5.0, 5.0))
        centres = [ras.to_world(np.array(centre)) for centre in CENTRES]
        self._volume = scan(ras, [(centre, (16, 16, 16), 9.0) for centre in centres])
        self.annotation = Annotation(tuple(Seed("lung", tuple(centre), user="Ann") for centre in centres))
        self.measured = annotated_burden("good", self._volume, self.annotation, Settings())
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.hidden: set[str] = set()
        self.readings = SimpleNamespace(of=self._reading)

    def _reading(self, image: str) -> Any:
        return SimpleNamespace(hidden_from=lambda reader: (image, reader) in {(one, "Ben") for one in self.hidden})

    def annotated(self) -> list[str]:
        return ["bad", "good"]

    def seeded(self) -> dict[str, Annotation]:
        return dict.fromkeys(self.annotated(), self.annotation)

    def key(self, image: str, annotation: Annotation) -> str:
        return image

    def volume(self, image: str) -> Volume:
        self.gate.wait()
        self.asked.append(image)
        if image == "bad":
            raise InputError("bad.nii.gz is damaged")
        return self._volume

    def scan(self, image: str, annotation: Annotation) -> MeasuredScan:
        return self.measured


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def ended(job: RadiomicsJob) -> RadiomicsJob:
    assert job._thread is not None
    job._thread.join()
    return job


def test_every_lesion_has_a_row_and_a_failed_one_its_reason(cohort):
    job = RadiomicsJob(cohort, cohort)
    assert job.progress.state == "none"
    job.start()
    progress = ended(job).progress
    assert (progress.state, progress.done, progress.total, progress.lesions) == ("done", 2, 2, 2)
    assert progress.failed == {"bad": "bad.nii.gz is damaged"}
    rows = list(job.rows(""))
    assert [(row["image"], row["lesion"], row["user"]) for row in rows] == [("good", "1", "Ann"), ("good", "2", "Ann")]
    for row, lesion in zip(rows, cohort.measured.record.lesions, strict=True):
        assert tuple(row) == columns()
        expected = radiomics(cohort._volume, cohort.measured.labels.array == lesion.number, strict=False)
        for name, value in expected.items():
            assert row[name] == "" if np.isnan(value) else float(row[name]) == pytest.approx(value, rel=1e-5), name


def test_one_job_runs_at_a_time_without_a_table_until_its_end_and_can_be_stopped(cohort):
    job = RadiomicsJob(cohort, cohort)
    cohort.gate.clear()
    job.start()
    with pytest.raises(Conflict, match="0 of 2 images"):
        job.start()
    with pytest.raises(Conflict, match="not measured yet"):
        list(job.rows(""))
    threading.Timer(0.1, cohort.gate.set).start()
    stopped = job.stop()
    assert (stopped.state, stopped.done) == ("stopped", 1)
    with pytest.raises(Conflict):
        list(job.rows(""))


def test_features_that_were_measured_are_cached(cohort):
    ended(started(RadiomicsJob(cohort, cohort)))
    cohort.asked.clear()
    again = ended(started(RadiomicsJob(cohort, cohort)))
    assert cohort.asked == ["bad"]
    assert again.progress.lesions == 2


def started(job: RadiomicsJob) -> RadiomicsJob:
    job.start()
    return job


def test_rows_of_hidden_readings_are_left_out(cohort):
    job = ended(started(RadiomicsJob(cohort, cohort)))
    cohort.hidden = {"good"}
    assert list(job.rows("Ben")) == []
    assert len(list(job.rows("Ann"))) == 2


def test_a_cohort_without_annotations_is_refused(cohort, monkeypatch):
    monkeypatch.setattr(cohort, "annotated", list)
    with pytest.raises(InputError, match="no image has an annotation"):
        RadiomicsJob(cohort, cohort).start()
