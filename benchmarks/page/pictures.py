"""The pictures of the page in the documents: training, cohort, a patient on a laptop, tablet, desktop, and at 150 %."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.common.cohorts import Case
from benchmarks.page.chromium import DESKTOP, ENLARGED, TABLET, WAIT_MS

# Until thumbnails are drawn, and notices gone.
DRAWN_MS, GONE_MS = 15_000, 1500


def take_pictures(page: Page, cases: Mapping[str, Case], epochs: int, folder: Path) -> None:
    """Train on the annotations, and write `page-*.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    page.locator("nav a[href='#training']").click()
    page.locator("#epochs").fill(str(epochs))
    page.locator("#train").click()
    page.locator("#notices p", has_text="Training:").wait_for(timeout=10 * WAIT_MS)
    picture(page, folder, "training")
    page.locator("nav a[href='#cohort']").click()
    page.wait_for_timeout(DRAWN_MS)
    picture(page, folder, "cohort")
    chosen = next(case for case in cases.values() if case.cancer_type == "lung")
    page.locator(f".card[data-image='{chosen.name}']").click()
    page.locator(f"#annotate[data-lesion='{chosen.name}']").wait_for()
    page.keyboard.press("m")
    page.locator("#annotate[data-model]").wait_for()
    picture(page, folder, "annotate")
    for name, size in (("tablet", TABLET), ("desktop", DESKTOP), ("enlarged", ENLARGED)):
        page.set_viewport_size(size)
        picture(page, folder, name)


def picture(page: Page, folder: Path, name: str) -> None:
    """Write what is on the screen, without notices."""
    page.evaluate("document.querySelector('#notices').replaceChildren()")
    page.wait_for_timeout(GONE_MS)
    page.screenshot(path=folder / f"page-{name}.png")
