"""Two browsers at once, a reload, a server that dies: nothing is lost, and the page says what happened."""

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import write_scan
from wslpet.io.readers import read_volume

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    shifts = {f"case{n}": (n - 12, 0, 2 * n - 24) for n in range(24)}
    return {name: write_scan(studies, name, "lps", "lung", shift) for name, shift in shifts.items()}


@pytest.fixture(scope="module")
def server(scans, tmp_path_factory):
    server = Server(scans["case0"].path.parent, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture
def people(server, browser):
    """Ann and Bob, each with a browser."""
    both = [Annotator(browser, f"{server.url}/wslpet/", name) for name in ("Ann", "Bob")]
    yield both
    for person in both:
        person.close()


def place(person, scans):
    """Click on the tumour and say its type; nothing is saved yet."""
    image = person.image
    x, _, z = read_volume(scans[image].path).to_ras().to_index(scans[image].centre)
    person.click("coronal", x, z)
    person.press("1")
    return image


def annotate(person, scans):
    image = place(person, scans)
    person.press("Enter")
    person.wait_for_other(image)
    return image


def test_two_browsers_get_different_patients_and_lose_nothing(server, scans, people):
    ann, bob = people
    assert ann.image != bob.image
    first, second = annotate(ann, scans), annotate(bob, scans)
    for person in people:
        person.saved()
    assert first != second
    assert [server.seeds(image)[-1]["user"] for image in (first, second)] == ["Ann", "Bob"]
    # Both open the same patient; who saves last is the newest, and both are told.
    for person in people:
        person.page.locator("nav a[href='#cohort']").click()
        person.page.locator(f".card[data-image='{first}']").click()
        person.page.locator(f"#annotate[data-drawn='{first}']").wait_for()
    annotate(bob, scans)
    ann.told("Bob has just annotated")
    annotate(ann, scans)
    ann.told("Bob had annotated it as lung meanwhile")
    assert [seed["user"] for seed in server.seeds(first)] == ["Ann", "Bob", "Ann"]


def test_a_reload_keeps_the_click_that_was_not_saved(server, scans, people):
    ann, _ = people
    image = place(ann, scans)
    seed = ann.seed
    ann.page.reload()
    ann.ready()
    ann.told("your click from before is here again")
    assert ann.image == image and (ann.seed == seed).all()
    ann.press("Enter")
    ann.wait_for_other(image)
    ann.saved()
    assert len(server.seeds(image)) == 1


def test_what_is_saved_while_the_server_is_down_is_there_when_it_is_back(server, scans, people):
    ann, _ = people
    ann.next_is_fetched()
    server.kill()
    image = annotate(ann, scans)
    ann.told("The server does not answer")
    server.start()
    ann.told("The server was restarted. Nothing is lost")
    ann.saved()
    assert [seed["user"] for seed in server.seeds(image)] == ["Ann"]


def test_a_silent_server_is_told_once_and_what_was_asked_meanwhile_comes(server, scans, people):
    ann, _ = people
    ann.next_is_fetched()
    server.kill()
    image = place(ann, scans)
    ann.told("The server does not answer")
    ann.press("m", "n")  # the model, and the next patient
    ann.wait_for_other(image)
    place(ann, scans)
    ann.press("n")
    ann.page.wait_for_timeout(3000)
    troubles = ann.page.locator("#notices .trouble").all_text_contents()
    assert len(troubles) == 1 and troubles[0].startswith("The server does not answer")
    # Not over the pictures.
    views, told = (ann.page.locator(part).bounding_box() for part in (".views", "#notices"))
    assert told["x"] >= views["x"] + views["width"]
    server.start()
    ann.told("The server was restarted")
    expect(ann.page.locator("#notices .trouble")).to_have_count(0)
    ann.press("m")
    ann.page.wait_for_function("() => document.querySelector('#annotate').dataset.drawn")
    image = ann.image
    server.kill()
    place(ann, scans)
    ann.told("The server does not answer")
    server.start()
    ann.sees_lesion(image)
    ann.press("z", "z")


@pytest.mark.parametrize("slow_ms", [0, 1500])
def test_z_right_after_enter_waits_for_the_save(server, scans, people, slow_ms):
    ann, _ = people
    page = ann.page
    page.route("**/annotations", lambda route: (page.wait_for_timeout(slow_ms), route.continue_()))
    first = annotate(ann, scans)
    place(ann, scans)
    seed = ann.seed
    second = ann.image
    # Nobody waits for anything between these keys.
    ann.press("Enter", "z", "z")
    page.locator(f"#annotate[data-drawn='{second}']").wait_for()
    page.locator(f"#annotate[data-drawn='{first}']").wait_for()
    page.locator("#notices p", has_text="taken back").wait_for()
    ann.saved()
    assert not server.seeds(first) and not server.seeds(second)
    ann.press("n")
    ann.wait_for_other(first)
    assert ann.image == second and (ann.seed == seed).all()
    ann.press("Delete", "n")


def test_z_while_the_server_is_down_takes_back_when_it_is_there_again(server, scans, people):
    ann, _ = people
    ann.next_is_fetched()
    server.kill()
    image = annotate(ann, scans)
    ann.told("The server does not answer")
    ann.press("z")
    ann.told(f"{image} comes back as soon as it is saved")
    server.start()
    page = ann.page
    page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    ann.told("taken back")
    assert server.seeds(image) == []
    history = requests.get(f"{server.url}/wslpet/api/images/{image}/annotations", timeout=30).json()
    assert [said["kind"] for said in history][-2:] == ["seed", "withdrawn"]
    ann.press("n")
    ann.wait_for_other(image)


def test_a_save_that_is_sent_twice_is_recorded_once(server, scans):
    url = f"{server.url}/wslpet/api/images/case23"
    position = scans["case23"].centre.tolist()
    body = {"cancer_type": "lung", "position": position, "annotator": "Eve", "seen": len(server.seeds("case23"))}
    before = len(server.seeds("case23"))
    first, second = (requests.post(f"{url}/annotations", json=body, timeout=30).json() for _ in range(2))
    assert (first["known"], second["known"]) == (False, True)
    assert len(server.seeds("case23")) == before + 1


def test_a_save_is_recorded_once_also_when_the_server_was_killed_in_between(server, scans):
    url = f"{server.url}/wslpet/api/images/case22/annotations"
    body = {"cancer_type": "lung", "position": scans["case22"].centre.tolist(), "annotator": "Eve", "id": "of its own"}
    before = len(server.seeds("case22"))
    first = requests.post(url, json=body, timeout=30).json()
    server.kill()
    server.start()
    url = f"{server.url}/wslpet/api/images/case22/annotations"
    second = requests.post(url, json={**body, "seen": 7}, timeout=60).json()
    assert (first["known"], second["known"]) == (False, True)
    assert len(server.seeds("case22")) == before + 1


def test_a_skipped_click_is_kept_and_z_brings_it_back(server, scans, people):
    ann, _ = people
    image = place(ann, scans)
    seed = ann.seed
    ann.press("n")
    ann.wait_for_other(image)
    ann.told("your click is kept, not saved")
    ann.press("z")
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    assert (ann.seed == seed).all()
    assert server.seeds(image) == []
    ann.press("n")
    ann.wait_for_other(image)
    ann.page.reload()
    ann.ready()
    # From the cohort, too: the draft waits.
    ann.page.locator("nav a[href='#cohort']").click()
    ann.page.locator(f".card[data-image='{image}']").click()
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    ann.told("your click from before is here again")
    assert (ann.seed == seed).all()
    ann.press("Enter")
    ann.wait_for_other(image)
    ann.saved()
    assert len(server.seeds(image)) == 1


def test_a_click_in_air_is_not_saved_and_says_why(server, scans, people):
    ann, _ = people
    image = place(ann, scans)
    ann.sees_lesion(image)
    u0, v0, *_ = (float(v) for v in (ann.page.locator("#axial").get_attribute("data-box") or "").split())
    ann.click("axial", max(u0, 0) + 1, max(v0, 0) + 1)
    ann.told("Nothing stands out within 15 mm")
    ann.press("Enter")
    ann.page.wait_for_timeout(500)
    assert ann.image == image and server.seeds(image) == []


def test_an_annotation_is_deleted_in_the_cohort(server, scans, people):
    ann, _ = people
    image = annotate(ann, scans)
    ann.saved()
    ann.page.locator("nav a[href='#cohort']").click()
    cell = ann.page.locator(".cell", has=ann.page.locator(f".card[data-image='{image}']"))
    cell.locator(".delete").click()
    ann.told("delete the annotation, lung by Ann?")
    ann.page.locator("#notices button", has_text="Delete").click()
    ann.page.locator(f".card.unannotated[data-image='{image}']").wait_for()
    assert server.seeds(image) == []
    history = requests.get(f"{server.url}/wslpet/api/images/{image}/annotations", timeout=30).json()
    assert [said["kind"] for said in history][-2:] == ["seed", "withdrawn"]  # it may have been taken back before
