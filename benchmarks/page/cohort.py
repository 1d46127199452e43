"""The cohort of 2,000 patients in Chromium: the longest pause while it opens, scrolls, is filtered and sorted.

`python -m benchmarks.page.cohort`. The server lists 2,000 small scans, every second one annotated, and looks at all of
them in the background meanwhile. A pause is a task of the page's main thread; on a machine that others use, the time
that it took of the processor says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.common.server import Server
from benchmarks.page.chromium import FLAGS, LAPTOP
from wslpet.core.seeds import Annotation, Seed

TARGET_MS = 100
WAIT_MS = 120_000
DIFFERENT = 16  # scans, copied by many names
SCROLLS, PIXELS = 40, 900
AFTER_MS = 4000  # the page asks for the cohort again meanwhile


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
        page.goto(f"{server.url}/wslpet/#training")
        page.locator("#name[open]").wait_for()
        page.keyboard.type("Ann")
        page.keyboard.press("Enter")
        page.locator("body[data-ready]").wait_for()
        for what, act in ACTS.items():
            print(f"{what}: {_longest(browser, page, act, options.folder / 'trace.json')}", flush=True)
        print(f"load {os.getloadavg()[0]:.1f}; {options.patients} patients; to be at most {TARGET_MS} ms")
        browser.close()


def _studies(folder: Path, patients: int) -> Path:
    """Copies of a few small scans by many names, and a log that annotates every second one."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / ".wslpet").mkdir(parents=True)
    scans = [_scan(folder.parent / f"scan-{number}.nii.gz", number) for number in range(DIFFERENT)]
    lines = []
    for number in range(patients):
        name = f"patient {number}"
        shutil.copyfile(scans[number % DIFFERENT], folder / f"{name}.nii.gz")
        if number % 2:
            said = Annotation((Seed("lung", (76, 60, 176), (9.5, 7.5, 22), "Ben"),))
            lines.append(json.dumps({"image": name, **said.to_dict()}) + "\n")
    (folder / ".wslpet" / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def _scan(path: Path, number: int) -> Path:
    array = np.random.default_rng(number).gamma(4, 0.2, (24, 20, 40)).astype(np.float32)
    array[8:12, 6:10, 20:25] = 9
    nib.save(nib.Nifti1Image(array, np.diag([8.0, 8, 8, 1])), path)
    return path


def _longest(browser: Browser, page: Page, act: Callable[[Page], None], trace: Path) -> str:
    """Do something; the page's longest task meanwhile, of the clock and of the processor."""
    browser.start_tracing(page=page, path=trace, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    start = time.perf_counter()
    act(page)
    seconds = time.perf_counter() - start
    page.wait_for_timeout(AFTER_MS)
    browser.stop_tracing()
    events = json.loads(trace.read_text())["traceEvents"]
    named = [event for event in events if event.get("name") == "thread_name"]
    main = {(one["pid"], one["tid"]) for one in named if one["args"]["name"] == "CrRendererMain"}
    tasks = [one for one in events if one.get("name") == "RunTask" and (one["pid"], one["tid"]) in main]
    clock, processor = (max(task.get(field, 0) for task in tasks) / 1000 for field in ("dur", "tdur"))
    return f"longest task {clock:.0f} ms, {processor:.0f} ms of the processor; done in {seconds:.1f} s"


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
