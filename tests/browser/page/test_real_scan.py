"""A real scan read at the page: three places clicked, one contour corrected, table and DICOM SR taken home.

The scan has one tumour, a sarcoma of the thigh; the two other places are normal uptake, clicked as lesions would be.
With PICTURES=DIR, what the page shows at each step is kept there (`Annotator.picture`).
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.dicom_series import real_data
from tests.helpers.needs import needs_chromium
from wslpet.core.volume import Volume
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.series import read_series
from wslpet.method.projection.mip import project

pytestmark = needs_chromium
APART_MM = 150.0


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the series, below the studies' folder."""
    studies = tmp_path_factory.mktemp("studies")
    shutil.copytree(real_data("sts_001_ge_pet") / "image", studies / "sts_001")
    return studies / "sts_001"


@pytest.fixture(scope="module")
def server(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(series.parent, tmp_path_factory.mktemp("scratch"), {"types": "sarcoma,other"}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rita(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/", "Rita")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def places(ras: Volume, tumour: np.ndarray) -> list[tuple[int, int]]:
    """Pixels (u, z) of the coronal MIP: the tumour's hottest one that is seen, and the hottest two far from it."""
    coronal, _ = project(ras)
    u, z = np.indices(coronal.mip.shape)
    position = np.stack([u * ras.spacing[0], z * ras.spacing[2]], axis=-1)
    allowed = tumour[u, coronal.depth, z]
    found: list[tuple[int, int]] = []
    for _ in range(3):
        pixel = np.unravel_index(np.argmax(np.where(allowed, coronal.mip, -1)), coronal.mip.shape)
        found.append((int(pixel[0]), int(pixel[1])))
        away = [np.linalg.norm(position - position[one], axis=-1) > APART_MM for one in found]
        allowed = np.all(away, axis=0)
    return found


def volumes(rita: Annotator) -> list[float]:
    cells = rita.page.locator("#lesions tbody td:nth-child(2)").all_text_contents()
    return [float(text.removesuffix(" ml")) for text in cells]


def saved(rita: Annotator, button: str) -> bytes:
    with rita.page.expect_download() as download:
        rita.page.locator(button).click()
    return Path(download.value.path()).read_bytes()


def test_three_places_are_clicked_one_is_corrected_and_table_and_report_are_the_same(
    rita: Annotator, series: Path
) -> None:
    read = read_series(series)
    mask = read_rtstruct(next((real_data("sts_001_ge_pet") / "mask").iterdir()), read)["GTV_Mass"]
    ras = read.volume.to_ras()
    uid = str(read.header.SeriesInstanceUID)
    page = rita.page
    page.locator(f"#annotate[data-drawn='{uid}']").wait_for()
    expect(page.locator("#title")).to_contain_text("STS_001")
    for number, (u, z) in enumerate(places(ras, mask.to_ras().array > 0), start=1):
        rita.click("coronal", u, z)
        page.locator(f"#annotate[data-lesion][data-lesions='{number}']").wait_for()
    rita.picture("real-clicked")
    before = volumes(rita)
    page.locator("#lesions tbody button").first.click()
    page.locator("#shrink").click()
    page.wait_for_function(
        "before => parseFloat(document.querySelector('#lesions tbody td:nth-child(2)').textContent) < before",
        arg=before[0],
    )
    corrected = volumes(rita)
    assert corrected[0] < before[0] and corrected[1:] == before[1:]
    rita.picture("real-corrected")
    page.locator("#types button[value='sarcoma']").click()
    rita.press("Enter", "Enter")  # once more where a click is doubted
    page.locator("#title", has_text="No patient is left").wait_for()
    rita.saved()
    page.locator("nav a[href='#cohort']").click()
    page.locator(f".card[data-image='{uid}']").click()
    page.locator(f"#annotate[data-lesion='{uid}'][data-lesions='3']").wait_for()
    page.locator("#take-home summary").click()
    report = pydicom.dcmread(io.BytesIO(saved(rita, "#exports button:has-text('DICOM SR')")))
    page.locator("nav a[href='#cohort']").click()
    page.locator(".card[data-marks='true']").wait_for()
    rows = list(csv.DictReader(io.StringIO(saved(rita, "#export-lesions").decode("utf-8-sig"), newline="")))
    assert [float(row["volume_ml"]) for row in rows] == pytest.approx(corrected, abs=0.05)
    assert {(row["PatientID"], row["user"], row["cancer_type"]) for row in rows} == {("STS_001", "Rita", "sarcoma")}
    assert (report.Modality, report.PatientID) == ("SR", "STS_001")
    values = [float(item.NumericValue) for item in numbers(report)]
    for row in rows:
        for measure in ("volume_ml", "suv_max", "tlg"):
            assert any(value == pytest.approx(float(row[measure]), rel=1e-4) for value in values), (row, measure)


def numbers(item: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """Every measured value of a report, at whatever depth."""
    for child in item.get("ContentSequence", []):
        yield from child.get("MeasuredValueSequence", [])
        yield from numbers(child)
