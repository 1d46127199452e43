"""The order in which patients come: by what people call them, patient 2 before patient 10."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.dicom_patients import write_patient
from tests.helpers.synthetic import write_scan
from wslpet.core.settings import Settings
from wslpet.server.storage.opening import open_studies


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("p10", "p2", "P1", "p2b"):
        write_scan(tmp_path, name)
    assert open_studies(str(tmp_path), Settings()).waiting() == ["P1", "p2", "p2b", "p10"]


def test_series_come_by_patient_and_not_by_their_uid(tmp_path: Path) -> None:
    for name in ("patient 10", "patient 2", "patient 1"):
        write_patient(tmp_path, name)
    store = open_studies(str(tmp_path / "dicom"), Settings(), readers=2)
    waiting = store.waiting()
    titles = [store.title(image).split(" · ")[0] for image in waiting]
    assert titles == ["patient 1", "patient 2", "patient 10"]
    assert store.waiting("Ann") == waiting and all(store.is_series(image) for image in waiting)
