"""What the page says while the first patient is on its way, or cannot be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.page.annotator import click_on
from tests.helpers.app_server import Server
from tests.helpers.browser import WAIT_MS
from tests.helpers.dicom_patients import Patient, write_patient
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return write_patient(tmp_path_factory.mktemp("hospital"), "anna", "head_first")


@pytest.fixture(scope="module")
def server(patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(patient.files[0].parents[1], tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A page that is not opened yet, of a reader whose name is known."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.add_init_script("localStorage.annotator = 'Wim'")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    yield page
    page.goto("about:blank")
    context.close()


def test_a_first_series_on_its_way_is_said_and_the_cohort_can_be_looked_at(
    server: Server, page: Page, patient: Patient
) -> None:
    held: list[Route] = []
    page.route("**/mips", lambda route: held.append(route))
    page.goto(f"{server.url}/wslpet/")
    page.locator("#empty", has_text="is being fetched from the archive").wait_for()
    page.locator("nav a[href='#cohort']").click()
    page.locator(f".card[data-image='{patient.uid}']").wait_for()
    page.locator("nav a[href='#annotate']").click()
    for route in held:
        route.continue_()
    page.locator(f"#annotate[data-drawn='{patient.uid}']").wait_for()
    expect(page.locator("#empty")).to_be_hidden()


def test_try_again_goes_when_it_worked(server: Server, page: Page, patient: Patient) -> None:
    page.route("**/api/next", lambda route: route.fulfill(status=500))
    page.goto(f"{server.url}/wslpet/")
    again = page.locator("#notices button", has_text="Try again")
    again.wait_for()
    expect(page.locator("#notices p")).to_have_count(1)
    page.unroute("**/api/next")
    again.click()
    page.locator(f"#annotate[data-drawn='{patient.uid}']").wait_for()
    expect(page.locator("#notices p")).to_have_count(0)


def test_the_volume_of_one_lesion_is_said_once(server: Server, page: Page, patient: Patient) -> None:
    page.goto(f"{server.url}/wslpet/")
    page.locator(f"#annotate[data-drawn='{patient.uid}']").wait_for()
    ras = patient.volume.to_ras()
    x, _, z = ras.to_index(patient.scan.centre)
    click_on(page, "coronal", x, z)
    page.locator(f"#annotate[data-lesion='{patient.uid}'][data-lesions='1']").wait_for()
    volume = page.locator("#lesions tbody td:nth-child(2)").text_content()
    said = page.locator("#burden").text_content() or ""
    assert volume and volume not in said and said.startswith("TLG ") and said.endswith("1 lesion")
