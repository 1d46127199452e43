"""The annotation page, timed in Chromium on phantoms of the paper's size, and its pictures (python -m benchmarks.page).

A reader clicks the tumour of one patient after the other on the MIPs, presses a key for its type and Enter, scrolls
and lets the patient turn. Prints the medians of what the page itself measures, and the load of the machine meanwhile:

* a click, until its lesion is drawn; of that, until the server's answer begins to arrive;
* Enter, until the next patient's MIPs are drawn;
* a notch of the wheel or an arrow key, until the slice is drawn;
* from one frame to the next while the patient turns.

"Drawn" is when the frame was handed to the screen. With `--pictures`, the server also learns from the clicks. Other
pictures of the page are made by tests: PICTURES=docs/images, tests/browser/page/test_two_readers.py, test_real_scan.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.common.cohorts import Case, drawn, stage
from benchmarks.common.server import Server
from benchmarks.page.chromium import FLAGS, LAPTOP, WAIT_MS
from benchmarks.page.pictures import take_pictures
from wslpet.io.readers import read_volume
from wslpet.method.projection.mip import project

# A person looks for longer before clicking; meanwhile the next patient is fetched.
LOOKING_MS = 1500
SLICES, NOTCH_MS, TURNING_MS = 60, 60, 6000
TARGETS_MS = {"click-to-lesion": 60.0, "enter-to-mips": 40.0, "slice": 16.0, "cine-frame": 1000 / 30}


def main(arguments: Sequence[str] | None = None) -> None:
    """Annotate, scroll, turn, print; train, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("work/page"))
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pictures", type=Path, help="folder for page-*.png, such as docs/images")
    options = parser.parse_args(arguments)
    cases = {case.name: case for case in drawn(options.folder / "plain", "plain", options.patients)}
    studies = stage(list(cases.values()), options.folder / "studies")
    with Server(studies, options.folder / "scratch") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport=LAPTOP)
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{server.url}/wslpet/")
        page.locator("#name[open]").wait_for()
        page.keyboard.type("Ann")
        page.keyboard.press("Enter")
        page.locator("body[data-ready]").wait_for()
        scroll_and_turn(page)
        annotate_all(page, cases)
        print_times(page)
        if options.pictures:
            take_pictures(page, cases, options.epochs, options.pictures)
        browser.close()


def scroll_and_turn(page: Page) -> None:
    """Scroll through the first patient by arrow keys and by the wheel; let it turn, once all sides are here."""
    box = page.locator("#axial").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(LOOKING_MS)
    for notch in range(SLICES):
        if notch % 2:
            page.mouse.wheel(0, -120)
        else:
            page.keyboard.press("ArrowUp")
        page.wait_for_timeout(NOTCH_MS)
    page.keyboard.press("p")
    page.wait_for_timeout(TURNING_MS)
    page.evaluate("performance.clearMeasures('cine-frame')")
    page.wait_for_timeout(TURNING_MS)
    page.keyboard.press("f")


def annotate_all(page: Page, cases: dict[str, Case]) -> None:
    """Click the tumour of each patient that is offered, say its type, save."""
    types = page.locator("#types button").evaluate_all("buttons => buttons.map(button => button.value)")
    while image := page.locator("#annotate").get_attribute("data-drawn"):
        page.wait_for_timeout(LOOKING_MS)
        click_on(page, cases[image])
        page.locator(f"#annotate[data-lesion='{image}']").wait_for()
        page.keyboard.press(str(1 + types.index(cases[image].cancer_type)))
        page.keyboard.press("Enter")
        page.wait_for_function("image => document.querySelector('#annotate').dataset.drawn !== image", arg=image)
    page.wait_for_function("() => !Number(document.body.dataset.saving ?? 0)")


def click_on(page: Page, case: Case) -> None:
    """Click on the view whose depth map leads nearest to the true click."""
    ras = read_volume(case.scan).to_ras()
    voxel = ras.to_index(np.array(case.position))
    x, y, z = np.rint(voxel).astype(int)
    coronal, sagittal = project(ras)
    off = {
        "coronal": abs(coronal.depth[x, z] - y) * ras.spacing[1],
        "sagittal": abs(sagittal.depth[y, z] - x) * ras.spacing[0],
    }
    view = min(off, key=off.__getitem__)
    figure = page.locator(f"#{view}")
    u0, z0, u1, z1 = (float(v) for v in str(figure.get_attribute("data-box")).split())
    box = figure.bounding_box()
    assert box is not None
    u = voxel[0 if view == "coronal" else 1]
    page.mouse.click(
        box["x"] + (u1 - u - 0.5) / (u1 - u0) * box["width"],
        box["y"] + (z1 - voxel[2] - 0.5) / (z1 - z0) * box["height"],
    )


def print_times(page: Page) -> None:
    """Print the medians, what of a click is the server's, and the load."""
    print(f"phantoms of 4.06 × 4.06 × 2 mm, whole bodies; medians; load {os.getloadavg()[0]:.1f} of {os.cpu_count()}")
    for name, target in TARGETS_MS.items():
        times = page.evaluate("name => performance.getEntriesByName(name).map(entry => entry.duration)", name)
        if times:
            spread = f"p10 {np.quantile(times, 0.1):.0f}, p90 {np.quantile(times, 0.9):.0f}"
            print(f"  {name}: p50 {np.median(times):.1f} ms of {len(times)}, {spread} (to be at most {target:.0f} ms)")
    answers = page.evaluate(
        "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/delineation'))"
        ".map(entry => entry.responseStart - entry.requestStart)"
    )
    print(f"  the server's answer to a click: p50 {np.median(answers):.1f} ms")


if __name__ == "__main__":
    main()
