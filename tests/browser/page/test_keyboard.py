"""The page by the keyboard alone: read, accept, review, take home, train. No mouse is touched."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser

from tests.browser.page.annotator import Annotator
from tests.browser.page.conftest import Patient, Ward, write_patients
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium
NUMBERS = {"ras_0": 7_300_000, "ras_1": 7_300_001, "lps_0": 7_300_002, "lps_1": 7_300_003}  # two of each type
FIRST, SECOND = "ras_0", "lps_1"
MOST_TABS = 120


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Four phantoms for two readers; Ben has read all, Kay all but the first two."""
    studies = tmp_path_factory.mktemp("studies")
    patients = write_patients(studies, NUMBERS)
    conf = {"use_pretrained_model": "true", "readers": "2"}
    server = Server(studies, tmp_path_factory.mktemp("scratch"), conf).start()
    ward = Ward(server, patients)
    for name, patient in patients.items():
        for reader in ("Ben",) if name in (FIRST, SECOND) else ("Ben", "Kay"):
            said = {"cancer_type": patient.cancer_type, "position": patient.centre.tolist(), "annotator": reader}
            url = f"{server.url}/wslpet/api/images/{name}/annotations"
            assert requests.post(url, json={**said, "sure": True}, timeout=120).ok
    yield ward
    server.stop()


@pytest.fixture
def kay(ward: Ward, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, ward.page, "Kay")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def tab_to(kay: Annotator, selector: str, key: str = "Tab") -> None:
    """Press Tab until something has the focus, and is in view."""
    passed = []
    for _ in range(MOST_TABS):
        passed.append(kay.page.evaluate("document.activeElement.cloneNode().outerHTML"))
        if kay.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            assert kay.page.locator(":focus").bounding_box()["height"] > 0
            return
        kay.press(key)
    raise AssertionError(f"{selector} is not reached with {key}, only {passed[-20:]}")


def choose(kay: Annotator, selector: str) -> None:
    tab_to(kay, selector)
    kay.press("Enter")


def open_tab(kay: Annotator, name: str) -> None:
    choose(kay, f"nav a[href='#{name}']")
    kay.page.locator(f"#{name}").wait_for()


def move_cross(kay: Annotator, patient: Patient) -> None:
    """Bring the cross to the tumour: up and down, then left, right, forward and back."""
    target = np.rint(patient.scan.to_index(patient.centre)).astype(int)
    here = np.array((kay.page.locator("#annotate").get_attribute("data-cross") or "").split(), dtype=int)
    keys = [("Shift+ArrowLeft", "Shift+ArrowRight"), ("Shift+ArrowDown", "Shift+ArrowUp"), ("ArrowDown", "ArrowUp")]
    for axis, (less, more) in enumerate(keys):
        kay.press(*[more if target[axis] > here[axis] else less] * abs(int(target[axis] - here[axis])))
    wanted = " ".join(str(v) for v in target)
    kay.page.locator(f"#annotate[data-cross='{wanted}']").wait_for()


def test_a_cohort_is_read_reviewed_exported_and_learned_from(ward: Ward, kay: Annotator) -> None:
    page, first, second = kay.page, FIRST, SECOND
    # Choose a patient in the cohort; click with the cross, say the type, save: the other one comes.
    open_tab(kay, "cohort")
    page.locator(f".card[data-image='{first}']").wait_for()
    choose(kay, f".card[data-image='{first}']")
    page.locator(f"#annotate[data-drawn='{first}']").wait_for()
    patient = ward.patients[first]
    move_cross(kay, patient)
    kay.press("Space")
    kay.sees_lesion(first)
    np.testing.assert_allclose(kay.seed, patient.centre, atol=max(patient.scan.spacing))
    types = page.locator("#types button").evaluate_all("buttons => buttons.map((button) => button.value)")
    kay.press(str(1 + types.index(patient.cancer_type)), "Enter")
    kay.wait_for_other(first)
    assert kay.image == second
    # Accept what the model found.
    kay.press("m")
    page.locator("#annotate[data-model]").wait_for()
    choose(kay, "#opinion button")
    kay.sees_lesion(second)
    choose(kay, f"#types button[value='{ward.patients[second].cancer_type}']")
    choose(kay, "#save")
    page.locator("#title", has_text="No patient is left").wait_for()
    kay.saved()
    # Review: both readings, one of them as the consensus.
    open_tab(kay, "cohort")
    page.locator("#filters button", has_text="to review 4").wait_for()
    choose(kay, f".card[data-image='{first}']")
    page.locator(f"#annotate[data-drawn='{first}'][data-readings='2']").wait_for()
    kay.press("v")
    page.locator("#readings button[aria-pressed='true']").wait_for()
    kay.sees_lesion(first)
    choose(kay, "#save")
    kay.saved()
    # Take home.
    open_tab(kay, "cohort")
    page.locator("#filters button", has_text="reviewed 1").wait_for()
    with page.expect_download() as download:
        choose(kay, "#export-lesions")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"), newline="")))
    assert {row["image"] for row in rows} == set(NUMBERS)
    # Train, and stop it.
    open_tab(kay, "training")
    choose(kay, "#train")
    page.locator("#stop:not([disabled])").wait_for()
    choose(kay, "#stop")
    page.locator("#train:not([disabled])").wait_for()
