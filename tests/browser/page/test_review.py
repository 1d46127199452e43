"""A reviewer at the page: agreement, filters, both readings, flags and comments, the consensus."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, Route, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import Scan, write_scan

pytestmark = needs_chromium
ORIENTATION = {"anna": "anisotropic", "bert": "off_origin", "cora": "lps"}


def ask(server: Server, path: str, reader: str = "", **body: object) -> requests.Response:
    url = f"{server.url}/wslpet/api/{path}"
    answer = requests.request(
        "POST" if body else "GET", url, headers={"Wslpet-Reader": quote(reader)}, json=body or None, timeout=120
    )
    assert answer.ok, answer.text
    return answer


def read(server: Server, scan: Scan, reader: str, cancer_type: str = "lung") -> None:
    said = {"cancer_type": cancer_type, "position": scan.centre.tolist(), "annotator": reader, "sure": True}
    ask(server, f"images/{scan.name}/annotations", reader, **said)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ann and Ben have read two patients and differ in the type of anna, whom Ben has flagged; cora waits for Ben."""
    studies = tmp_path_factory.mktemp("studies")
    scans = {name: write_scan(studies, name, orientation) for name, orientation in ORIENTATION.items()}
    server = Server(studies, tmp_path_factory.mktemp("scratch"), {"readers": "2"}).start()
    for scan in scans.values():
        read(server, scan, "Ann")
    read(server, scans["anna"], "Ben", "oesophagus")
    read(server, scans["bert"], "Ben")
    ask(server, "images/anna/remarks", "Ben", annotator="Ben", flag=True, comment="which one?")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rev(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/#annotate/bert", "Rev")
    annotator.page.locator("nav a[href='#cohort']").click()
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def shows(rev: Annotator, patients: list[str]) -> None:
    cards = rev.page.locator("#cards .card")
    expect(cards).to_have_count(len(patients))
    assert sorted(card.get_attribute("data-image") for card in cards.all()) == patients


def test_the_agreement_of_the_cohort_is_listed_and_saved(server: Server, rev: Annotator) -> None:
    agreement = rev.page.locator("#agreement")
    agreement.locator("summary", has_text="agreement of readers: 2").click()
    cells = agreement.locator("tbody td").all_text_contents()
    assert cells[:3] == ["Ann and Ben", "2", "50 %"]
    assert cells[4:8] == ["2 and 2", "2 (100 %)", "1.00", "1.00"]
    with rev.page.expect_download() as download:
        agreement.locator("#export-agreement").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["image"], row["type_1"], row["type_2"]) for row in rows] == [
        ("anna", "lung", "oesophagus"),
        ("bert", "lung", "lung"),
    ]
    agreement.locator("summary").click()


@pytest.mark.parametrize(
    ("mark", "patients"),
    [
        ("readers differ 1", ["anna"]),
        ("flagged 1", ["anna"]),
        ("commented 1", ["anna"]),
        ("to review 2", ["anna", "bert"]),
    ],
)
def test_a_filter_shows_whom_to_look_at(rev: Annotator, mark: str, patients: list[str]) -> None:
    button = rev.page.locator("#filters button", has_text=mark)
    button.click()
    rev.page.locator("#filters button[aria-pressed='true']", has_text=mark).wait_for()
    shows(rev, patients)
    rev.page.locator("#filters button", has_text=mark).click()
    shows(rev, ["anna", "bert", "cora"])


def test_both_readings_are_shown_one_is_taken_and_saved_as_the_consensus(server: Server, rev: Annotator) -> None:
    page = rev.page
    page.locator(".card[data-image='anna']").click()
    page.locator("#annotate[data-drawn='anna'][data-readings='2']").wait_for()
    expect(page.locator("#review-state")).to_contain_text("2 of 2 readers · to be reviewed")
    differences = page.locator("#differences").text_content()
    assert differences.startswith("Ann and Ben: lung against oesophagus, 1 of 1 and 1 lesions matched, Dice 1.00")
    readings = page.locator("#readings button").all_text_contents()
    assert [text.split(",")[0] for text in readings] == ["Ann: lung", "Ben: oesophagus"]
    expect(page.locator("#history")).to_contain_text("flag, which one?")
    for reader, cancer_type in (("Ann", "lung"), ("Ben", "oesophagus")):
        rev.press("v")
        page.locator("#readings button[aria-pressed='true']", has_text=f"{reader}: ").wait_for()
        page.locator(f"#types button[value='{cancer_type}'][aria-checked='true']").wait_for()
        page.locator("#annotate[data-lesion='anna'][data-lesions='1']").wait_for()
    expect(page.locator("#save")).to_have_text(re.compile("^Consensus"))
    skip = page.locator("#skip").bounding_box()
    assert skip is not None and skip["x"] + skip["width"] <= page.viewport_size["width"]
    rev.press("u")
    page.locator("#annotate[data-remarked='anna']").wait_for()
    page.locator("#comment").fill("clearly behind the heart")
    page.locator("#comment").press("Enter")
    page.locator("#history li", has_text="unsure, clearly behind the heart").wait_for(state="attached")
    page.locator("h2#title").click()
    rev.press("Enter")
    rev.wait_for_other("anna")
    rev.saved()
    history = ask(server, "images/anna/annotations", "Rev").json()
    (counting,) = [said for said in history if said["counts"]]
    assert (counting["user"], counting["cancer_type"], counting["review"]) == ("Rev", "oesophagus", True)
    assert ask(server, "status").json()["reviewed"] == 1


def test_what_is_reviewed_says_so_and_the_readings_stay(server: Server, rev: Annotator) -> None:
    page = rev.page
    page.locator("nav a[href='#cohort']").click()
    page.locator("#filters button", has_text="reviewed 1").click()
    shows(rev, ["anna"])
    page.locator("#filters button", has_text="reviewed 1").click()
    page.locator(".card[data-image='anna']").click()
    page.locator("#annotate[data-drawn='anna'][data-readings='2']").wait_for()
    expect(page.locator("#review-state")).to_contain_text("reviewed")
    expect(page.locator("#history")).to_contain_text("consensus: oesophagus")


def test_a_patient_whom_one_reader_has_read_cannot_be_reviewed(server: Server, rev: Annotator) -> None:
    page = rev.page
    page.locator("nav a[href='#cohort']").click()
    page.locator(".card[data-image='cora']").click()
    page.locator("#annotate[data-drawn='cora']").wait_for()
    expect(page.locator("#review-state")).to_have_text("1 of 2 readers · you read it blind")
    expect(page.locator("#readings button")).to_have_count(0)
    expect(page.locator("#annotate")).to_have_attribute("data-lesions", "0")


def test_remarks_in_quick_succession_are_recorded_in_their_order(server: Server, rev: Annotator) -> None:
    page = rev.page
    page.locator("nav a[href='#cohort']").click()
    page.locator(".card[data-image='cora']").click()
    page.locator("#annotate[data-drawn='cora']").wait_for()
    sent: list[Route] = []

    def hold_first(route: Route) -> None:
        sent.append(route)
        if len(sent) > 1:
            route.continue_()

    page.route("**/remarks", hold_first)
    rev.press("u", "g")
    page.wait_for_timeout(500)
    assert len(sent) == 1  # the flag waits for the first one to be recorded
    sent[0].continue_()
    page.locator("#history li", has_text="flag, unsure").wait_for(state="attached")
    page.unroute("**/remarks")
    last = [said for said in ask(server, "images/cora/annotations", "Rev").json() if said["kind"] == "remark"][-1]
    assert (last["flag"], last["unsure"]) == (True, True)
