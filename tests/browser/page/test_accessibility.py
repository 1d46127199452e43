"""What axe-core finds on the page: no serious fault on any tab. `npm pack axe-core`, and its axe.min.js as AXE."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Page

from tests.browser.page.annotator import Annotator
from tests.browser.page.conftest import Ward
from tests.browser.page.test_layout import SCREENS
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import write_scan

AXE = Path(os.environ.get("AXE", "axe.min.js"))
pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not AXE.is_file(), reason="AXE is not the path of axe-core's axe.min.js"),
]
SERIOUS = ("serious", "critical")
# Beside axe's own choice: what a finger touches is large enough.
RULES = {"rules": {"target-size": {"enabled": True}}}


def faults(page: Page) -> list[str]:
    """Serious faults of what is on the screen: rule and element."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(rules)", RULES)["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found if one["impact"] in SERIOUS for node in one["nodes"]]


@pytest.fixture(scope="module")
def axel(ward: Ward, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, ward.page, "Axel")
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
    assert not faults(page)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Anna, who has a CT and whom two readers have read, and bert, whom nobody has; the shipped weights."""
    studies = tmp_path_factory.mktemp("studies")
    scan = write_scan(studies, "anna", "anisotropic")
    write_scan(studies, "bert", "lps")
    ct = nib.Nifti1Image(np.full(scan.shape, 40, np.int16), scan.affine)
    nib.save(ct, studies / "anna_ct.nii.gz")
    conf = {"readers": "2", "use_pretrained_model": "true"}
    server = Server(studies, tmp_path_factory.mktemp("scratch"), conf).start()
    for reader in ("Ann", "Ben"):
        said = {"cancer_type": "lung", "position": scan.centre.tolist(), "annotator": reader, "sure": True}
        assert requests.post(f"{server.url}/wslpet/api/images/anna/annotations", json=said, timeout=120).ok
    yield server
    server.stop()


# A training that is done, and the two models on a patient who judges.
ANSWER = {"found": True, "cancer_type": "lung", "error_mm": 3.0}
RUN = {
    **{"id": "1", "name": "one", "started": 1.7e9, "state": "done", "total_epochs": 2, "total_time": "3 s"},
    **{"patients": {"lung": 9}, "skipped": {"bert": "no annotation"}, "from_scratch": False, "published": True},
    **{"not_published": "", "not_judged": "", "model_version": "abcdef0123", "error": "", "best_metric": 0.5},
    "epochs": [{"epoch": n, "loss": 1 / n, "val_loss": 1.1 / n, "best": True} for n in (1, 2)],
    "judgement": {
        "patients": [
            {"name": "anna", "cancer_type": "lung", "before": ANSWER, "after": {**ANSWER, "found": False}},
        ],
        **{"verdict": "cannot tell", "p_better": 0.5, "p_worse": 0.5},
    },
    **{"decision": None, "has_weights": True},
}


@pytest.fixture(params=list(SCREENS))
def page(review: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = SCREENS[request.param].opened(browser)

    def trained(route):
        training = route.fetch().json()
        route.fulfill(content_type="application/json", body=json.dumps({**training, "runs": [RUN]}))

    page.route("**/api/training", trained)
    page.goto(f"{review.url}/wslpet/#annotate/anna")
    page.locator("#name[open]").wait_for()
    yield page
    page.goto("about:blank")
    page.context.close()


def test_no_serious_fault_of_ct_review_agreement_and_comparison(page: Page) -> None:
    found = {"name": faults(page)}
    page.locator("#name input").fill("Rev")
    page.keyboard.press("Enter")
    page.locator("#annotate[data-drawn='anna'][data-readings='2']").wait_for()
    # The cross, the ring under the pointer, the slider of the CT.
    page.locator("#axial").hover()
    page.keyboard.press("t")
    page.locator("#show-ct[aria-pressed=true]").wait_for()
    found["CT"] = faults(page)
    # A reading taken over: a list of lesions with their burden; the model beside it.
    page.keyboard.press("v")
    page.locator("#annotate[data-lesion='anna'][data-lesions='1']").wait_for()
    page.keyboard.press("m")
    page.locator("#annotate[data-model]").wait_for()
    page.locator("#take-home summary").click()
    page.locator("#history summary").click()
    found["review"] = faults(page)
    page.locator("nav a[href='#cohort']").click()
    page.locator("#agreement summary").click()
    page.locator(".card[data-image='anna']").wait_for()
    found["agreement"] = faults(page)
    page.locator("#search").fill("nobody of this name")
    found["nobody"] = faults(page)
    page.locator("#nothing button").click()
    page.locator("#as-list").click()
    found["list"] = faults(page)
    page.locator("#as-list").click()
    page.locator("nav a[href='#training']").click()
    page.locator("#comparison img").wait_for()
    found["comparison"] = faults(page)
    assert not {state: what for state, what in found.items() if what}
