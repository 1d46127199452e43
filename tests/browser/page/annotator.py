"""An annotator at the page: eyes and hands in Chromium."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page

from tests.helpers.browser import WAIT_MS

# How many pixels are marked above the MIPs, in JavaScript.
MARKED = """['coronal', 'sagittal'].reduce((sum, view) => {
  const canvas = document.querySelector(`#${view} .overlay`);
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return sum + data.filter((value, at) => at % 4 === 3 && value > 0).length;
}, 0)"""


class Annotator:
    """A browser of its own, at 1366 × 768 unless said otherwise, on which `name` annotates."""

    def __init__(self, browser: Browser, url: str, name: str, size: tuple[int, int] = (1366, 768)) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.context.set_default_timeout(WAIT_MS)
        self.requested: list[str] = []
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.page: Page = self.context.new_page()
        self.page.goto(url)
        self.page.locator("#name[open]").wait_for()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.ready()

    def ready(self) -> None:
        self.page.locator("body[data-ready]").wait_for()

    @property
    def image(self) -> str:
        """The patient on the screen."""
        return self.page.locator("#annotate").get_attribute("data-drawn") or ""

    def wait_for_other(self, image: str) -> None:
        self.page.wait_for_function("image => document.querySelector('#annotate').dataset.drawn !== image", arg=image)

    def next_is_fetched(self) -> None:
        """Wait until the MIPs of another patient have come, too, and the page has had a moment to take them in."""
        self.page.wait_for_function(
            """() => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/mips')).length > 1"""
        )
        self.page.wait_for_timeout(500)

    def saved(self) -> None:
        """Wait until the server has all."""
        self.page.wait_for_function("() => !Number(document.body.dataset.saving ?? 0)")

    def click(self, view: str, u: float, z: float) -> None:
        """Click where a fractional voxel (u, z) of a view is: the patient's right, or front, is on the left."""
        click_on(self.page, view, u, z)

    def sees_lesion(self, image: str) -> None:
        self.page.locator(f"#annotate[data-lesion='{image}']").wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def notices(self) -> str:
        return " ".join(self.page.locator("#notices p").all_text_contents())

    def told(self, words: str) -> None:
        """Wait for a notice."""
        self.page.locator("#notices p", has_text=words).first.wait_for()

    def milliseconds(self, name: str) -> list[float]:
        """What the page measured under a name."""
        return self.page.evaluate("name => performance.getEntriesByName(name).map(entry => entry.duration)", name)

    def marked(self) -> int:
        """How many pixels are marked above the MIPs."""
        return self.page.evaluate(MARKED)

    def settled_marks(self) -> int:
        """As `marked`, once it no longer changes."""
        before = -1
        while (now := self.marked()) != before:
            before = now
            self.page.wait_for_timeout(300)
        return now

    def drawn(self) -> None:
        """Wait until what was asked is on the screen: pictures are drawn with the next frame."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def seed(self) -> np.ndarray:
        """Where the cross is, mm RAS."""
        return np.array((self.page.locator("#annotate").get_attribute("data-seed") or "").split(), dtype=float)

    def picture(self, name: str) -> None:
        """Keep the screen as `page-NAME.png` of the folder PICTURES, for the documents; without it nothing."""
        if folder := os.environ.get("PICTURES"):
            self.page.evaluate("document.querySelector('#notices').replaceChildren()")
            self.page.wait_for_timeout(1500)
            self.page.screenshot(path=Path(folder) / f"page-{name}.png")

    def close(self) -> None:
        self.context.close()


def click_on(page: Page, view: str, u: float, z: float) -> None:
    """As `Annotator.click`, on any page."""
    page.locator(f"#{view}[data-box]").wait_for()
    figure = page.locator(f"#{view}")
    u0, z0, u1, z1 = (float(v) for v in (figure.get_attribute("data-box") or "").split())
    box = figure.bounding_box()
    assert box is not None
    x = box["x"] + (u1 - u - 0.5) / (u1 - u0) * box["width"]
    y = box["y"] + (z1 - z - 0.5) / (z1 - z0) * box["height"]
    page.mouse.click(x, y)
