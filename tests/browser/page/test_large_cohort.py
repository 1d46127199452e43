"""A cohort of 2,000 patients: the document holds what is on the screen, and what stays there is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import write_scan

pytestmark = needs_chromium
PATIENTS = 2000
CARD_LINE = 302  # pixels, as in style.css


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    studies = tmp_path_factory.mktemp("studies")
    write_scan(studies, "anna", "anisotropic")
    server = Server(studies, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture
def cora(server: Server, browser: Browser) -> Iterator[Annotator]:
    """A reader whose server says that it has 2,000 patients."""
    annotator = Annotator(browser, f"{server.url}/wslpet/", "Cora")

    def many(route: Route) -> None:
        cohort = route.fetch().json()
        (row,) = cohort["rows"]
        rows = [{**row, "image": f"p{n}", "title": f"patient {n}", "mtv_ml": n % 7} for n in range(PATIENTS)]
        route.fulfill(content_type="application/json", body=json.dumps({**cohort, "rows": rows, "looking": False}))

    annotator.page.route("**/api/cohort", many)
    annotator.page.locator("nav a[href='#cohort']").click()
    annotator.page.locator(".card[data-image='p0']").wait_for()
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def shown(cora: Annotator, selector: str) -> list[str]:
    return cora.page.locator(selector).evaluate_all("all => all.map((one) => one.dataset.image)")


def test_only_what_is_on_the_screen_is_in_the_document(cora: Annotator) -> None:
    assert 10 < len(shown(cora, "#cards .card")) < 100
    cora.page.locator("#grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    cora.page.locator(f".card[data-image='p{PATIENTS - 1}']").wait_for()
    last = shown(cora, "#cards .card")
    assert len(last) < 100 and last == [f"p{n}" for n in range(PATIENTS - len(last), PATIENTS)]
    cora.page.locator("#as-list").click()
    cora.page.locator("#lines tr[data-image='p0']").wait_for()
    assert 10 < len(shown(cora, "#lines tr")) < 100
    cora.page.locator("#as-list").click()


def test_cards_that_stay_are_not_drawn_again_and_stand_in_order(cora: Annotator) -> None:
    page = cora.page
    page.locator("#grid").evaluate(f"grid => {{ grid.scrollTop = 20 * {CARD_LINE}; }}")
    page.wait_for_timeout(300)
    page.evaluate("""() => {
      const note = (changes) => window.added.push(...changes.flatMap(({ addedNodes }) => [...addedNodes]));
      new MutationObserver(note).observe(document.querySelector("#cards"), { childList: true });
    }""")
    before = shown(cora, "#cards .card")
    for lines in (21, 19):
        page.evaluate("window.added = []")
        page.locator("#grid").evaluate(f"grid => {{ grid.scrollTop = {lines} * {CARD_LINE}; }}")
        page.wait_for_timeout(300)
        now = shown(cora, "#cards .card")
        first = int(now[0][1:])
        assert now != before and now == [f"p{n}" for n in range(first, first + len(now))]
        added = page.evaluate("window.added.map((cell) => cell.querySelector('.card').dataset.image)")
        assert sorted(added) == sorted(set(now) - set(before))
        before = now


def test_a_search_finds_the_last_of_them_and_an_order_the_largest(cora: Annotator) -> None:
    cora.page.locator("#search").fill("patient 1999")
    cora.page.locator(".card[data-image='p1999']").wait_for()
    assert shown(cora, "#cards .card") == ["p1999"]
    cora.page.locator("#search").fill("")
    cora.page.locator("#order").select_option("burden (MTV)")
    cora.page.locator(".card[data-image='p6']").wait_for()
    assert shown(cora, "#cards .card")[:3] == ["p6", "p13", "p20"]
