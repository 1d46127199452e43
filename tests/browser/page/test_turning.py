"""The window, and the MIPs from other angles: letters, the angle, the way back, marks that turn along."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.page.annotator import MARKED, Annotator
from tests.browser.page.conftest import Ward
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def tess(ward: Ward, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{ward.page}#annotate/ras_0", "Tess")
    annotator.page.locator("#annotate[data-drawn='ras_0']").wait_for()
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def test_windowing_turning_and_the_slice(tess: Annotator) -> None:
    page = tess.page
    tess.press("0")
    box = page.locator("#coronal").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    expect(page.locator("#readout")).to_have_text(re.compile("^SUV "))
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=6)
    page.mouse.up()
    expect(page.locator("#high-text")).not_to_have_text("10.0")
    assert float(page.locator("#high-text").text_content()) > 12
    tess.press("0")
    expect(page.locator("#high-text")).to_have_text("10.0")
    seed = tess.seed
    tess.press("ArrowRight")
    page.locator("#coronal.turned").wait_for()
    page.mouse.click(x, y)
    assert not np.array_equal(tess.seed, seed)
    tess.press("z", "ArrowLeft")
    expect(page.locator("#coronal")).not_to_contain_class("turned")
    expect(page.locator("#coronal .angle")).to_have_text("0°")
    tess.press("?")
    expect(page.locator("#help")).to_be_visible()
    tess.press("Escape")


def ends_are(page: Page, coronal: str, sagittal: str) -> None:
    for view, ends in (("coronal", coronal), ("sagittal", sagittal)):
        for part, text in zip(("left", "angle", "right"), ends.split(), strict=True):
            expect(page.locator(f"#{view} .{part}")).to_have_text(text)


def test_a_turned_patient_has_letters_and_an_angle_and_a_key_back(tess: Annotator) -> None:
    page = tess.page
    tess.press("f")
    ends_are(page, "R 0° L", "A 90° P")
    for _ in range(12):
        tess.press("ArrowRight")
    ends_are(page, "L 180° R", "P 270° A")
    expect(page.locator("#coronal .left")).to_be_visible()
    expect(page.locator("#sagittal .angle")).to_be_visible()
    tess.press("f")
    ends_are(page, "R 0° L", "A 90° P")
    tess.press("ArrowRight")
    ends_are(page, "RA 15° LP", "AL 105° PR")
    tess.press("f")


def test_the_cam_stays_while_the_patient_is_turned(tess: Annotator) -> None:
    tess.press("f", "m")
    tess.page.locator("#annotate[data-model]").wait_for()
    tess.press("ArrowRight")
    expect(tess.page.locator("#coronal .angle")).to_have_text("15°")
    tess.press("c")
    without = tess.settled_marks()
    tess.press("c")
    tess.page.wait_for_function(f"before => {MARKED} > before + 500", arg=without)
    with_cam = tess.settled_marks()
    tess.press("c")
    tess.page.wait_for_function(f"before => {MARKED} < before - 500", arg=with_cam)
    tess.press("c", "m", "f")
