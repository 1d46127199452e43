"""The pictures of OHIF in the documentation, taken from a running `make demo-pacs`.

Run: python -m tests.browser.viewers.pictures
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import requests

from tests.browser.viewers.ohif import Ohif
from tests.helpers.browser import chromium

ROOT = Path(__file__).resolve().parents[3]
SERVER, PACS, PATIENT = "http://127.0.0.1:8000", "http://127.0.0.1:8142/dicom-web", "patient-0003"
VIEWPORTS = ("mpr-axial", "mpr-sagittal", "mpr-coronal")
NOTICE_MS = 6000


def main() -> None:
    with open(ROOT / "demo" / "dicom-truth" / "cohort.csv", newline="") as table:
        row = next(row for row in csv.DictReader(table) if row["name"] == PATIENT)
    click = np.array([float(row[axis]) for axis in "xyz"])
    found = requests.get(f"{PACS}/studies", params={"PatientID": PATIENT}, timeout=30).json()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        ohif = Ohif(page, SERVER)
        ohif.open(found[0]["0020000D"]["Value"][0])
        ohif.connect()
        for viewport in VIEWPORTS:
            ohif.show(click, viewport)
        ohif.auto_segment()
        _take(ohif, "auto-segmentation")
        ohif.choose(row["cancer_type"])
        ohif.click(click)
        ohif.run_points()
        _take(ohif, "point-prompts")


def _take(ohif: Ohif, name: str) -> None:
    ohif.page.wait_for_timeout(NOTICE_MS)  # until OHIF's own notices are gone; ours, with the numbers, stay
    ohif.settle()
    ohif.page.screenshot(path=ROOT / "docs" / "images" / f"ohif-{name}.png")


if __name__ == "__main__":
    main()
