"""Twenty phantoms with one to six lesions, read blind by two readers, reviewed; the tables are what the server holds.

Clicks and keys in Chromium for two patients, the page's own requests for the rest. PICTURES=DIR: `Annotator.picture`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from wslpet.core.volume import Volume
from wslpet.data.phantom.cohort import save_scan
from wslpet.data.phantom.settings import PRESETS
from wslpet.data.phantom.several import SeveralLesions, patient_with
from wslpet.method.projection.mip import project
from wslpet.server.tasks.findings import LesionMask

pytestmark = [needs_chromium, pytest.mark.slow]
PATIENTS, BY_HAND = 20, ("p01", "p02")
TYPES = ("lung", "oesophagus")
# Ben calls these the other type.
OTHERWISE = ("p02", "p07", "p13")


@dataclass(frozen=True, eq=False)
class Ward:
    """Phantoms by name, every second slice of them, and a server on which each is read twice."""

    server: Server
    patients: dict[str, SeveralLesions]
    scans: dict[str, Volume]

    def ask(self, path: str, method: str = "GET", **body: object) -> requests.Response:
        url = f"{self.server.url}/wslpet/api/{path}"
        answer = requests.request(method, url, json=body or None, timeout=300)
        assert answer.ok, answer.text
        return answer

    def table(self, path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.ask(path).content.decode("utf-8-sig"), newline="")))

    def clicks(self, name: str, reader: str) -> list[list[float]]:
        """Of every lesion; Ben overlooks the last of three or more."""
        found = [click.tolist() for click in self.patients[name].clicks]
        return found[:-1] if reader == "Ben" and len(found) > 2 else found

    def cancer_type(self, name: str, reader: str) -> str:
        truth = self.patients[name].cancer_type
        return TYPES[1 - TYPES.index(truth)] if reader == "Ben" and name in OTHERWISE else truth

    def save(self, name: str, reader: str, of: str = "", review: bool = False) -> None:
        of = of or reader
        seeds = [{"position": click} for click in self.clicks(name, of)]
        said = {"cancer_type": self.cancer_type(name, of), "seeds": seeds, "annotator": reader}
        self.ask(f"images/{name}/annotations", "POST", **said, sure=True, review=review, id=f"{name} {reader}")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    studies: Path = tmp_path_factory.mktemp("studies")
    patients, scans = {}, {}
    for number in range(PATIENTS):
        name = f"p{number + 1:02d}"
        patient = patients[name] = patient_with(1 + number % 6, 7_400_000 + number, PRESETS["plain"])
        affine = patient.volume.affine @ np.diag([1, 1, 2, 1])
        scans[name] = Volume(np.ascontiguousarray(patient.volume.array[:, :, ::2]), affine, "SUV", name)
        save_scan(scans[name], studies / f"{name}.nii.gz")
    server = Server(studies, tmp_path_factory.mktemp("scratch"), {"readers": "2"}).start()
    try:
        yield Ward(server, patients, scans)
    finally:
        server.stop()


def open_patient(annotator: Annotator, name: str) -> None:
    annotator.page.evaluate("name => { location.hash = `annotate/${name}`; }", name)
    annotator.page.locator(f"#annotate[data-drawn='{name}']").wait_for()


def click_lesions(ward: Ward, annotator: Annotator, name: str, count: int) -> None:
    """Click where the coronal MIP shows each lesion."""
    coronal, _ = project(ward.scans[name])
    lesions = ward.patients[name].lesions[:, :, ::2]
    x, z = np.indices(coronal.depth.shape)
    for number in range(1, count + 1):
        shown = lesions[x, coronal.depth, z] == number
        assert shown.any(), (name, number)
        u, v = np.unravel_index(np.argmax(np.where(shown, coronal.mip, -1)), shown.shape)
        annotator.click("coronal", float(u), float(v))
        annotator.page.locator(f"#annotate[data-lesion][data-lesions='{number}']").wait_for()


def read_by_hand(ward: Ward, browser: Browser, reader: str) -> None:
    annotator = Annotator(browser, f"{ward.server.url}/wslpet/", reader)
    for name in BY_HAND:
        open_patient(annotator, name)
        # Nothing of the reader before.
        expect(annotator.page.locator("#annotate")).to_have_attribute("data-lesions", "0")
        expect(annotator.page.locator("#history")).to_be_hidden()
        expect(annotator.page.locator("#readings button")).to_have_count(0)
        click_lesions(ward, annotator, name, len(ward.clicks(name, reader)))
        annotator.press(str(1 + TYPES.index(ward.cancer_type(name, reader))))
        if reader == "Ben" and name == BY_HAND[1]:
            annotator.press("u", "g")
            annotator.page.locator("#comment").fill("which one?")
            annotator.page.locator("#comment").blur()
            annotator.page.locator("#history li", has_text="flag, unsure, which one?").wait_for(state="attached")
        annotator.press("Enter", "Enter")  # once more where a click is doubted
        annotator.wait_for_other(name)
        annotator.saved()
    annotator.page.goto("about:blank")
    annotator.close()


def review_by_hand(ward: Ward, browser: Browser) -> None:
    reviewer = Annotator(browser, f"{ward.server.url}/wslpet/", "Rev")
    page = reviewer.page
    page.locator("nav a[href='#cohort']").click()
    page.locator("#filters button", has_text="to review 20").click()
    if "PICTURES" in os.environ:
        page.locator("#agreement summary", has_text=f"agreement of readers: {PATIENTS}").click()
        page.wait_for_timeout(15_000)  # until the thumbnails have their outlines
        reviewer.picture("agreement")
        page.locator("#agreement summary").click()
    page.locator(f".card[data-image='{BY_HAND[1]}']").click()
    page.locator(f"#annotate[data-drawn='{BY_HAND[1]}'][data-readings='2']").wait_for()
    expect(page.locator("#review-state")).to_contain_text("to be reviewed")
    expect(page.locator("#annotate")).to_have_attribute("data-lesions", "0")
    expect(page.locator("#history")).to_contain_text("which one?")
    reviewer.press("v")
    page.locator(f"#annotate[data-lesions='{len(ward.clicks(BY_HAND[1], 'Ann'))}']").wait_for()
    expect(page.locator("#readings button[aria-pressed='true']")).to_have_text(re.compile("^Ann: "))
    expect(page.locator("#save")).to_have_text(re.compile("^Consensus"))
    reviewer.picture("review")
    reviewer.press("Enter", "Enter")
    reviewer.wait_for_other(BY_HAND[1])
    reviewer.saved()
    page.goto("about:blank")
    reviewer.close()


def test_twenty_patients_read_twice_reviewed_and_exported(ward: Ward, browser: Browser) -> None:
    for reader in ("Ann", "Ben"):
        read_by_hand(ward, browser, reader)
        for name in ward.patients:
            if name not in BY_HAND:
                ward.save(name, reader)
    status = ward.ask("status").json()
    assert (status["complete"], status["reviewed"]) == (PATIENTS, 0)
    review_by_hand(ward, browser)
    for name in ward.patients:
        if name != BY_HAND[1]:
            ward.save(name, "Rev", of="Ann", review=True)
    assert ward.ask("status").json()["reviewed"] == PATIENTS
    check_patients(ward)
    check_agreement(ward)


def check_patients(ward: Ward) -> None:
    """The tables are the consensus, and the patients' rows the sums of their lesions' rows."""
    lesions, patients = ward.table("lesions.csv"), {row["image"]: row for row in ward.table("patients.csv")}
    assert set(patients) == set(ward.patients)
    for name, row in patients.items():
        own = [lesion for lesion in lesions if lesion["image"] == name]
        assert (row["cancer_type"], row["counts"]) == (ward.patients[name].cancer_type, "consensus")
        assert row["readers"] == "Ann; Ben"
        assert int(row["lesions"]) == len(own) <= len(ward.clicks(name, "Ann"))
        assert float(row["mtv_ml"]) == pytest.approx(sum(float(lesion["volume_ml"]) for lesion in own), rel=1e-4)
        assert row["readers_types_agree"] == str(name not in OTHERWISE).lower()
    flagged = [name for name, row in patients.items() if row["flagged_by"]]
    assert flagged == [BY_HAND[1]]
    assert patients[BY_HAND[1]]["comments"] == "Ben: which one?"
    clicks = ward.table("annotations.csv")
    assert {row["user"] for row in clicks if row["lesion"] == "1"} <= {"Rev", "Ann"}


def check_agreement(ward: Ward) -> None:
    """The table of agreement against the masks that the server draws of each reading."""
    rows = {row["image"]: row for row in ward.table("agreement.csv")}
    assert set(rows) == set(ward.patients)
    differences, types = [], []
    for name, row in rows.items():
        readings = ward.ask(f"images/{name}/readings").json()["readings"]
        ann, ben = (_voxels(reading) for reading in readings)
        shared = len(set.union(*ann) & set.union(*ben))
        total = sum(map(len, ann)) + sum(map(len, ben))
        assert float(row["dice"]) == pytest.approx(2 * shared / total, abs=1e-5), name
        assert (int(row["lesions_1"]), int(row["lesions_2"])) == (len(ann), len(ben))
        voxel_ml = float(np.prod(ward.scans[name].spacing)) / 1000
        difference = (sum(map(len, ben)) - sum(map(len, ann))) * voxel_ml
        assert float(row["tmtv_difference_ml"]) == pytest.approx(difference, abs=1e-3)
        assert int(row["matched"]) <= min(len(ann), len(ben))
        differences.append(difference)
        types.append(row["type_1"] == row["type_2"])
    found = ward.ask("agreement").json()
    (pair,) = found["pairs"]
    assert (pair["readers"], pair["patients"], found["pending"]) == (["Ann", "Ben"], PATIENTS, 0)
    assert pair["types_agree"] == pytest.approx(np.mean(types)) == pytest.approx(1 - len(OTHERWISE) / PATIENTS)
    assert pair["tmtv_bias_ml"] == pytest.approx(np.mean(differences))
    low, high = pair["tmtv_limits_ml"]
    assert high - low == pytest.approx(2 * 1.96 * np.std(differences, ddof=1))
    assert pair["matched"] == sum(int(row["matched"]) for row in rows.values())


def _voxels(reading: dict) -> list[set[tuple[int, ...]]]:
    masks = [LesionMask.model_validate(lesion["mask"]) for lesion in reading["lesions"]["lesions"]]
    return [set(map(tuple, mask.voxels().tolist())) for mask in masks]
