"""From a patient on the page to the same study in OHIF; that OHIF shows it there is tested in `test_ohif`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.page.annotator import Annotator
from tests.browser.viewers.ward import Ward
from tests.helpers.app_server import Server
from tests.helpers.browser import chromium
from tests.helpers.needs import needs_chromium, needs_pacs

pytestmark = [needs_chromium, needs_pacs]


@pytest.fixture(scope="module")
def server(ward: Ward) -> Iterator[Server]:
    with ward.serve("page") as started:
        yield started


def test_the_page_opens_the_study_in_ohif(ward: Ward, server: Server) -> None:
    patient = ward.patients["oblique"]
    with chromium() as browser:
        ann = Annotator(browser, f"{server.url}/wslpet/#annotate/{patient.uid}", "Ann")
        ann.page.locator(f"#annotate[data-drawn='{patient.uid}']").wait_for()
        with ann.page.expect_popup() as opened:
            ann.page.locator("#ohif").click()
        opened.value.wait_for_url(f"{server.url}/ohif/monai-label?StudyInstanceUIDs={patient.study}")
        ann.page.goto("about:blank")
        ann.close()
