"""Debian's Chromium, headless, driven by Playwright: what the tests of pages and viewers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.helpers.needs import CHROMIUM

# How long something may take to appear on a busy machine.
WAIT_MS = 60_000
# Viewers draw with WebGL, which SwiftShader computes where no graphics card is.
FLAGS = [
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, for as long as the `with` block runs."""
    assert CHROMIUM is not None, "no Chromium here: apt-get install chromium"
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def errors_of(page: Page) -> list[str]:
    """What the page throws and logs as errors from now on; the list grows."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    return errors
