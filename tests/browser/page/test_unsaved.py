"""A click that was not saved stays, whatever takes its patient off the screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import Scan, write_scan
from wslpet.io.readers import read_volume

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scan]:
    studies = tmp_path_factory.mktemp("studies")
    return {name: write_scan(studies, name, "lps") for name in ("anna", "bert", "cora")}


@pytest.fixture(scope="module")
def server(scans: dict[str, Scan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(scans["anna"].path.parent, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture
def uma(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/#annotate/anna", "Uma")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def place(uma: Annotator, scan: Scan) -> None:
    """A click on the tumour and a type."""
    x, _, z = read_volume(scan.path).to_ras().to_index(scan.centre)
    uma.click("coronal", x, z)
    uma.sees_lesion(scan.name)
    uma.press("1")


def open_patient(uma: Annotator, name: str) -> None:
    uma.page.evaluate("name => { location.hash = `annotate/${name}`; }", name)
    uma.page.locator(f"#annotate[data-drawn='{name}']").wait_for()


def test_another_patient_is_opened(uma: Annotator, scans: dict[str, Scan]) -> None:
    place(uma, scans["anna"])
    seed = uma.seed
    open_patient(uma, "bert")
    uma.told("anna: your click there was not saved; it is kept as a draft.")
    assert not uma.seed.size
    uma.page.locator("#notices button", has_text="Back to it").click()
    uma.page.locator("#annotate[data-drawn='anna']").wait_for()
    assert (uma.seed == seed).all()


def test_the_server_refuses_it(uma: Annotator, server: Server, scans: dict[str, Scan]) -> None:
    uma.page.route("**/annotations", lambda route: route.fulfill(status=422, json={"detail": "Not today."}))
    place(uma, scans["anna"])
    seed = uma.seed
    uma.press("Enter")
    uma.told("anna was not saved. Not today.")
    uma.page.unroute("**/annotations")
    uma.page.locator("#notices button", has_text="Open").click()
    uma.page.locator("#annotate[data-drawn='anna']").wait_for()
    uma.page.wait_for_function("() => document.querySelector('#annotate').dataset.seed")
    assert (uma.seed == seed).all()
    uma.press("Enter")
    uma.wait_for_other("anna")
    uma.saved()
    assert len(server.seeds("anna")) == 1
    uma.press("z")
    uma.told("anna: taken back")
    assert server.seeds("anna") == []


def test_nobody_comes_next(uma: Annotator, scans: dict[str, Scan]) -> None:
    uma.page.route("**/api/next", lambda route: route.fulfill(status=500))
    open_patient(uma, "bert")
    place(uma, scans["bert"])
    seed = uma.seed
    uma.page.locator("#strategy").dispatch_event("change")  # whoever was to come does not
    uma.page.locator("#notices button", has_text="Try again").click()
    expect(uma.page.locator("#title")).to_have_text("No patient could be opened")
    uma.told("bert: your click there was not saved; it is kept as a draft.")
    open_patient(uma, "cora")
    uma.page.locator("#notices button", has_text="Back to it").click()
    uma.page.locator("#annotate[data-drawn='bert']").wait_for()
    assert (uma.seed == seed).all()
