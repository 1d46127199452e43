"""The pictures of several readers: four phantoms read twice, their agreement, and one of them under review.

`python -m benchmarks.page.review_pictures docs/images`. Ann clicks every lesion; Ben overlooks the last one, and takes
the second patient for the other type.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.common.server import Server
from benchmarks.common.several import SeveralLesions, patient_with
from benchmarks.page.chromium import FLAGS, LAPTOP, WAIT_MS
from benchmarks.page.pictures import picture
from wslpet.data.phantom.cohort import save_scan
from wslpet.data.phantom.settings import PRESETS

FIRST_SEED, PATIENTS, LESIONS = 7_400_000, 4, 3
TYPES = ("lung", "oesophagus")
OTHERWISE = "patient-2"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write `page-agreement.png` and `page-review.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder, such as docs/images")
    parser.add_argument("--folder", type=Path, default=Path("work/review"))
    options = parser.parse_args(arguments)
    studies = options.folder / "studies"
    shutil.rmtree(options.folder, ignore_errors=True)
    studies.mkdir(parents=True)
    patients = {f"patient-{n + 1}": patient_with(LESIONS, FIRST_SEED + n, PRESETS["plain"]) for n in range(PATIENTS)}
    for name, patient in patients.items():
        save_scan(patient.volume, studies / f"{name}.nii.gz")
    with Server(studies, options.folder / "scratch", {"readers": "2"}) as server, sync_playwright() as playwright:
        for name, patient in patients.items():
            _read(server, name, patient)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = _opened(browser, server)
        _take(page, options.pictures)
        browser.close()


def _read(server: Server, name: str, patient: SeveralLesions) -> None:
    other = TYPES[1 - TYPES.index(patient.cancer_type)]
    clicks = [click.tolist() for click in patient.clicks]
    for reader, cancer_type, own in (
        ("Ann", patient.cancer_type, clicks),
        ("Ben", other if name == OTHERWISE else patient.cancer_type, clicks[:-1]),
    ):
        said = {"cancer_type": cancer_type, "seeds": [{"position": one} for one in own], "annotator": reader}
        _post(server, f"images/{name}/annotations", reader, {**said, "sure": True})
    if name == OTHERWISE:
        said = {"annotator": "Ben", "flag": True, "unsure": True, "comment": "oesophagus, or a node beside it?"}
        _post(server, f"images/{name}/remarks", "Ben", said)


def _post(server: Server, path: str, reader: str, body: dict[str, object]) -> None:
    headers = {"Wslpet-Reader": quote(reader)}
    answer = requests.post(f"{server.url}/wslpet/api/{path}", json=body, headers=headers, timeout=300)
    answer.raise_for_status()


def _opened(browser: Browser, server: Server) -> Page:
    page = browser.new_page(viewport=LAPTOP)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{server.url}/wslpet/#annotate/{OTHERWISE}")
    page.locator("#name[open]").wait_for()
    page.keyboard.type("Rita")
    page.keyboard.press("Enter")
    page.locator("body[data-ready]").wait_for()
    return page


def _take(page: Page, folder: Path) -> None:
    page.locator("nav a[href='#cohort']").click()
    page.locator("#agreement summary", has_text=f"agreement of readers: {PATIENTS}").click()
    page.locator("#cards .card[data-marks='true']").nth(PATIENTS - 1).wait_for()
    picture(page, folder, "agreement")
    page.locator(f".card[data-image='{OTHERWISE}']").click()
    page.locator(f"#annotate[data-drawn='{OTHERWISE}'][data-readings='2']").wait_for()
    page.keyboard.press("v")
    page.locator(f"#annotate[data-lesion='{OTHERWISE}']").wait_for()
    picture(page, folder, "review")


if __name__ == "__main__":
    main()
