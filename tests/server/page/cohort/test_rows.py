"""Rows of the cohort that are kept: after each change they are those that are made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.synthetic import Scan, write_scan
from wslpet.core.settings import Settings
from wslpet.method.shipped import SHIPPED_MODEL
from wslpet.server.page.annotation import AnnotationPage
from wslpet.server.page.cohort.rows import CohortRows
from wslpet.server.page.review.agreement import ReaderAgreement
from wslpet.server.page.schemas.annotations import RemarkRequest, Save, Withdraw
from wslpet.server.page.schemas.cohort import CohortRow
from wslpet.server.page.tables.burden import CohortBurden
from wslpet.server.storage.opening import open_studies
from wslpet.server.tasks.active_model import ActiveModel
from wslpet.server.tasks.predictions import Predictions


@dataclass
class Cohort:
    """Anna and bert for two readers, without a server."""

    page: AnnotationPage
    burden: CohortBurden
    agreement: ReaderAgreement
    rows: CohortRows
    scans: dict[str, Scan]

    def asked(self, reader: str, anew: bool = False) -> dict[str, CohortRow]:
        rows = CohortRows(self.page, self.burden, self.agreement) if anew else self.rows
        versions = {image: rows.version(image) for image in self.scans}
        return {row.image: row for row in rows.get(versions, reader)}

    def read(self, reader: str, cancer_type: str = "lung", review: bool = False) -> None:
        x, y, z = self.scans["anna"].centre.tolist()
        self.page.annotate("anna", Save(cancer_type=cancer_type, position=(x, y, z), sure=True, review=review), reader)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    scans = {name: write_scan(tmp_path, name, way) for name, way in (("anna", "anisotropic"), ("bert", "off_origin"))}
    settings = Settings()
    store = open_studies(str(tmp_path), settings, readers=2)
    weights = ActiveModel(tmp_path / "none.pt", SHIPPED_MODEL, settings)
    page = AnnotationPage(None, store, Predictions(store, weights, store.private / "predictions"), settings)
    burden = CohortBurden(page)
    agreement = ReaderAgreement(page, burden)
    return Cohort(page, burden, agreement, CohortRows(page, burden, agreement), scans)


def _replaced(cohort: Cohort) -> None:
    write_scan(cohort.scans["anna"].path.parent, "anna", "off_origin", "oesophagus")


def _spoilt(cohort: Cohort) -> None:
    cohort.scans["anna"].path.write_bytes(b"no scan")
    cohort.page.datastore.note_unusable("anna", ValueError("no scan"))


def _withdrawn(cohort: Cohort) -> None:
    newest = cohort.page.datastore.seeds.get("anna")[-1]
    cohort.page.withdraw("anna", Withdraw(time=newest.time, all=True), newest.user)


# Each after those before it; what of anna's row tells that it was noticed.
CHANGES: list[tuple[str, Callable[[Cohort], object], Callable[[CohortRow], object], object]] = [
    ("a reading", lambda c: c.read("Ann"), lambda row: row.readers, ["Ann"]),
    ("its prediction", lambda c: c.page.predictions.get("anna"), lambda row: row.predicted is not None, True),
    ("its lesions", lambda c: c.burden.measure("anna"), lambda row: row.lesions, 1),
    (
        "a remark",
        lambda c: c.page.remark("anna", RemarkRequest(flag=True, unsure=False, comment="why?"), "Ann"),
        lambda row: (row.flagged, row.comments),
        (True, ["Ann: why?"]),
    ),
    ("another reading", lambda c: c.read("Ben", "oesophagus"), lambda row: row.readers, ["Ann", "Ben"]),
    ("the comparison", lambda c: c.agreement.measured("anna"), lambda row: row.dice is not None, True),
    ("the consensus", lambda c: c.read("Rev", review=True), lambda row: row.readings.reviewed, True),
    ("no annotation any more", _withdrawn, lambda row: row.state, "unannotated"),
    ("another file", _replaced, lambda row: row.state, "unannotated"),
    ("no file", _spoilt, lambda row: row.state, "unreadable"),
]


def test_a_kept_row_is_the_one_that_is_made_anew(cohort: Cohort) -> None:
    cohort.asked("Ann"), cohort.asked("Ben")
    for what, change, told, expected in CHANGES:
        before = {reader: cohort.asked(reader) for reader in ("Ann", "Ben")}
        change(cohort)
        for reader, rows in before.items():
            after = cohort.asked(reader)
            assert after == cohort.asked(reader, anew=True), (what, reader)
            assert after["bert"] is rows["bert"], what
        assert told(cohort.asked("Ann")["anna"]) == expected, what


def test_what_is_hidden_from_a_reader_is_in_no_row_of_this_reader(cohort: Cohort) -> None:
    cohort.read("Ann")
    cohort.burden.measure("anna")
    assert cohort.asked("Ann")["anna"].lesions == 1
    hidden = cohort.asked("Ben")["anna"]
    assert (hidden.annotation, hidden.lesions, hidden.readers, hidden.state) == (None, None, [], "unannotated")
    assert cohort.asked("ANN ")["anna"] is cohort.asked("ann")["anna"]
