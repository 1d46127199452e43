"""What axe-core finds on the page: no serious fault on any tab. `npm pack axe-core`, and its axe.min.js as AXE."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.page.annotator import Annotator
from tests.browser.page.conftest import Ward
from tests.helpers.needs import needs_chromium

AXE = Path(os.environ.get("AXE", "axe.min.js"))
pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not AXE.is_file(), reason="AXE is not the path of axe-core's axe.min.js"),
]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def axel(ward: Ward, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, ward.page, "Axel")
    annotator.page.evaluate(AXE.read_text())
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


@pytest.mark.parametrize("what", ["patient", "lesion and model", "cohort", "list", "training", "keys"])
def test_no_serious_fault(axel: Annotator, what: str) -> None:
    page = axel.page
    if what == "lesion and model":
        box = page.locator("#coronal").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.1)
        page.wait_for_function("() => document.querySelector('#lesions td, #notices p')")
        axel.press("m")
        page.locator("#annotate[data-model]").wait_for()
    elif what in ("cohort", "training"):
        page.locator(f"nav a[href='#{what}']").click()
        page.wait_for_timeout(1500)
    elif what == "list":
        page.locator("nav a[href='#cohort']").click()
        page.locator("#as-list").click()
    elif what == "keys":
        page.locator("nav a[href='#annotate']").click()
        axel.press("?")
    found = page.evaluate("() => axe.run()")["violations"]
    faults = [
        f"{one['id']}: {node['html'][:120]}" for one in found if one["impact"] in SERIOUS for node in one["nodes"]
    ]
    assert not faults
