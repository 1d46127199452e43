"""The cohort of 2,000 patients in Chromium: the longest pause while it opens, scrolls, is filtered and sorted.

`python -m benchmarks.page.cohort`. The server lists 2,000 links to one small scan; every second one is annotated.
A pause is a task of the page's main thread, as the browser reports those of 50 ms and more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.common.server import Server
from benchmarks.page.chromium import FLAGS, LAPTOP
from wslpet.core.seeds import Annotation, Seed

TARGET_MS = 100
WAIT_MS = 300_000  # the server lists 2,000 images first
SCROLLS, PIXELS = 40, 900
PAUSES = """() => {
  window.pauses = [];
  new PerformanceObserver((list) => window.pauses.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask" });
}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("work/page-cohort"))
    parser.add_argument("--patients", type=int, default=2000)
    options = parser.parse_args(arguments)
    studies = _studies(options.folder / "studies", options.patients)
    with Server(studies, options.folder / "scratch") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport=LAPTOP)
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(f"({PAUSES})()")
        page.goto(f"{server.url}/wslpet/#training")
        page.locator("#name[open]").wait_for()
        page.keyboard.type("Ann")
        page.keyboard.press("Enter")
        page.locator("body[data-ready]").wait_for()
        for what, act in ACTS.items():
            print(f"{what}: {_longest(page, act)}")
        print(f"load {os.getloadavg()[0]:.1f}; {options.patients} patients; to be at most {TARGET_MS} ms")
        browser.close()


def _studies(folder: Path, patients: int) -> Path:
    """Links to one scan by many names, and a log that annotates every second one."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / ".wslpet").mkdir(parents=True)
    array = np.full((24, 20, 40), 0.5, np.float32)
    array[8:12, 6:10, 20:25] = 9
    scan = folder.parent / "scan.nii.gz"
    nib.save(nib.Nifti1Image(array, np.diag([8.0, 8, 8, 1])), scan)
    lines = []
    for number in range(patients):
        name = f"patient {number}"
        os.link(scan, folder / f"{name}.nii.gz")
        if number % 2:
            said = Annotation((Seed("lung", (76, 60, 176), (9.5, 7.5, 22), "Ben"),))
            lines.append(json.dumps({"image": name, **said.to_dict()}) + "\n")
    (folder / ".wslpet" / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def _longest(page: Page, act: Callable[[Page], None]) -> str:
    page.evaluate("window.pauses = []")
    act(page)
    page.wait_for_timeout(500)
    pauses = page.evaluate("window.pauses")
    return f"longest pause {max(pauses, default=0):.0f} ms ({len(pauses)} of 50 ms or more)"


def _open(page: Page) -> None:
    page.locator("nav a[href='#cohort']").click()
    page.locator(".card").first.wait_for()


def _scroll(page: Page) -> None:
    page.mouse.move(600, 500)
    for _ in range(SCROLLS):
        page.mouse.wheel(0, PIXELS)
        page.wait_for_timeout(50)


def _search(page: Page) -> None:
    for key in "patient 19":
        page.locator("#search").press(key if key != " " else "Space")
    page.locator("#search").fill("")


def _sort(page: Page) -> None:
    for order in ("last annotated", "burden (MTV)", "name"):
        page.locator("#order").select_option(order)


ACTS: dict[str, Callable[[Page], None]] = {
    "open": _open,
    "scroll": _scroll,
    "search": _search,
    "sort": _sort,
    "list": lambda page: page.locator("#as-list").click(),
    "scroll the list": _scroll,
}

if __name__ == "__main__":
    main()
