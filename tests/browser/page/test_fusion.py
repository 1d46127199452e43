"""The CT of a DICOM study under its PET, on the slices."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.dicom_patients import write_patient
from tests.helpers.needs import needs_chromium
from tests.server.series.test_ct import CTS, beside_pet

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One patient with a CT in the study, one without."""
    folder = tmp_path_factory.mktemp("hospital")
    patients = [write_patient(folder, name, "off_origin") for name in ("anna", "bert")]
    beside_pet(patients[0], CTS["off_origin"], folder / "dicom" / "ct", "anna")
    studies = Path(shutil.move(folder / "dicom", folder / "studies"))
    server = Server(studies, folder / "scratch").start()
    yield server
    server.stop()


@pytest.fixture
def fay(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/", "Fay")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def show(fay: Annotator, patient: str) -> None:
    fay.page.locator("nav a[href='#cohort']").click()
    fay.page.locator(".card", has_text=patient).click()
    fay.page.locator("#title", has_text=patient).wait_for()


def colours(fay: Annotator, picture: str) -> int:
    """How many pixels of a picture are coloured."""
    return fay.page.locator(f"#{picture} canvas.image").evaluate("""(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4) found += data[i] !== data[i + 2];
      return found;
    }""")


def test_the_ct_lies_under_the_slices_and_the_mips_stay(fay: Annotator) -> None:
    show(fay, "anna")
    expect(fay.page.locator("#fusion")).to_be_visible()
    assert colours(fay, "axial") == 0
    fay.press("t")
    fay.page.locator("#show-ct[aria-pressed=true]").wait_for()
    for picture in ("axial", "coronal-slice", "sagittal-slice"):
        fay.page.wait_for_function(
            """(id) => {
              const canvas = document.querySelector(`#${id} canvas.image`);
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              return data.some((value, at) => at % 4 === 0 && value !== data[at + 2]);
            }""",
            arg=picture,
        )
    assert colours(fay, "coronal") == 0
    coloured = colours(fay, "axial")
    fay.picture("fusion")
    fay.page.locator("#ct-share").fill("0")
    fay.page.wait_for_timeout(300)
    assert colours(fay, "axial") == 0 < coloured  # the CT alone is grey
    fay.press("t")
    fay.page.locator("#show-ct[aria-pressed=false]").wait_for()


def test_a_study_without_a_ct_has_no_slider(fay: Annotator) -> None:
    show(fay, "bert")
    expect(fay.page.locator("#fusion")).to_be_hidden()
    fay.press("t")
    fay.page.wait_for_timeout(300)
    assert colours(fay, "axial") == 0
