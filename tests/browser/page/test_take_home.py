"""What is taken home from the page: a patient's figures as PDF, and radiomics of the cohort as a job."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import write_scan
from wslpet.analysis.burden.tables import LESION_COLUMNS
from wslpet.io.tables import parse_table

pytestmark = needs_chromium
ORIENTATION = {"anna": "anisotropic", "bert": "off_origin"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two patients, both annotated."""
    studies = tmp_path_factory.mktemp("studies")
    scans = [write_scan(studies, name, orientation) for name, orientation in ORIENTATION.items()]
    server = Server(studies, tmp_path_factory.mktemp("scratch")).start()
    for scan in scans:
        said = {"cancer_type": "lung", "position": scan.centre.tolist(), "annotator": "Ann", "sure": True}
        url = f"{server.url}/wslpet/api/images/{scan.name}/annotations"
        assert requests.post(url, json=said, timeout=120).ok
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tom(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/#annotate/bert", "Tom")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_figures_of_a_patient_are_saved_as_pdf(tom: Annotator) -> None:
    tom.page.locator("#annotate[data-drawn='bert']").wait_for()
    expect(tom.page.locator("#ohif")).to_be_hidden()  # a file is on no PACS
    tom.page.locator("#take-home summary").click()
    with tom.page.expect_download() as download:
        tom.page.locator("#exports button", has_text="Figures PDF").click()
    assert download.value.suggested_filename == "bert-figures.pdf"
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"%PDF-") and content.count(b"/Type /Page ") == 2


def test_the_figures_of_a_patient_are_saved_as_png(tom: Annotator) -> None:
    with tom.page.expect_download() as download:
        tom.page.locator("#exports button", has_text="Figures PNG").click()
    assert download.value.suggested_filename == "bert-figures.png"
    picture = Image.open(download.value.path())
    assert picture.format == "PNG" and picture.height > 2 * picture.width  # two pages of A4


def test_tables_are_saved_as_excel_in_german_opens_them(server: Server, tom: Annotator) -> None:
    page = tom.page
    page.locator("nav a[href='#cohort']").click()
    english = table(requests.get(f"{server.url}/wslpet/api/lesions.csv", timeout=120).content)
    page.locator("#decimal-comma").check()
    with page.expect_download() as download:
        page.locator("#export-lesions").click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(codecs.BOM_UTF8) and b"\r\nanna;" in content
    for (_, row), lesion in zip(parse_table(content, "t.csv", LESION_COLUMNS, ()).rows, english, strict=True):
        assert row["suv_max"] == lesion["suv_max"].replace(".", ",") != lesion["suv_max"]
    # The clicks, read back as they are.
    with page.expect_download() as download:
        page.locator("#export").click()
    assert b",000;" in Path(download.value.path()).read_bytes()
    page.locator("#import").set_input_files(download.value.path())
    tom.told("0 recorded, 2 known already")
    page.reload()
    tom.ready()
    expect(page.locator("#decimal-comma")).to_be_checked()
    page.locator("#decimal-comma").uncheck()


def test_radiomics_are_measured_with_progress_and_saved(server: Server, tom: Annotator) -> None:
    tom.page.locator("nav a[href='#cohort']").click()
    with tom.page.expect_download() as download:
        tom.page.locator("#radiomics").click()
        tom.page.locator("#radiomics-text", has_text="of 2 patients").wait_for(state="attached")
    assert download.value.suggested_filename == "wslpet-radiomics.csv"
    rows = table(Path(download.value.path()).read_bytes())
    lesions = table(requests.get(f"{server.url}/wslpet/api/lesions.csv", timeout=120).content)
    assert [row["image"] for row in rows] == [row["image"] for row in lesions] == ["anna", "bert"]
    for row, lesion in zip(rows, lesions, strict=True):
        assert float(row["volume_ml"]) == pytest.approx(float(lesion["volume_ml"]), rel=1e-4)
        assert len(row) > 100
    tom.told("Radiomics of 2 lesions are saved")
    expect(tom.page.locator("#radiomics")).to_be_enabled()
