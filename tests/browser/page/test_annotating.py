"""Annotate, train and look at predictions by clicks on the MIPs and keys only, in a real browser on a real server."""

import re
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import expect

from tests.browser.page.annotator import MARKED, Annotator
from tests.helpers.browser import WAIT_MS
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium
KEYS = {"lung": "1", "oesophagus": "2"}
# Pixels. Chromium draws a canvas that is read often without the graphics card, and then edges differ: by 41 of 1,621.
SOME = 300


@pytest.fixture(scope="module")
def ann(ward, browser):
    annotator = Annotator(browser, ward.page, "Ann")
    yield annotator
    annotator.close()


def ras_index(patient):
    return patient.scan.to_index(patient.centre)


def annotate(annotator, ward):
    """Click the tumour of the patient on the screen, say its type, and go on; returns the patient and the view."""
    image = annotator.image
    patient = ward.patients[image]
    view = patient.views_that_show_it()[0]
    x, y, z = ras_index(patient)
    annotator.click(view, x if view == "coronal" else y, z)
    annotator.sees_lesion(image)
    annotator.press(KEYS[patient.cancer_type], "Enter")
    annotator.wait_for_other(image)
    return patient, view


def test_ten_patients_by_clicks_and_keys(ward, ann):
    done = {}
    for _ in range(len(ward.patients)):
        patient, view = annotate(ann, ward)
        done[patient.name] = view
    ann.saved()
    assert set(done) == set(ward.patients)
    for name, view in done.items():
        patient, (seed,) = ward.patients[name], ward.server.seeds(name)
        assert (seed["cancer_type"], seed["user"]) == (patient.cancer_type, "Ann")
        # The axis: the line of sight through the tumour's middle.
        across = [0, 2] if view == "coronal" else [1, 2]
        away = (np.array(seed["position"]) - patient.centre)[across]
        assert np.linalg.norm(away) <= 5, (name, away)
        voxel = np.rint(patient.scan.to_index(np.array(seed["position"]))).astype(int)
        assert patient.truth[tuple(voxel)], name
    for name in ("enter-to-mips", "enter-to-mips-cold", "click-to-lesion"):
        if times := ann.milliseconds(name):
            print(f"\n{name}: p50 {np.median(times):.0f} ms of {len(times)}", end="")
    expect(ann.page.locator("#title")).to_contain_text("No patient is left")


def test_training_from_the_page_shows_its_curves_and_new_predictions_without_reload(ward, ann):
    ann.page.evaluate("window.here = true")
    ann.page.locator("nav a[href='#training']").click()
    ann.page.locator("#epochs").fill("3")
    ann.page.locator("#train").click()
    ann.page.locator("#running").wait_for()
    ann.page.locator("#notices p", has_text="Training:").wait_for(timeout=5 * WAIT_MS)
    ann.page.locator("#runs tbody tr").first.wait_for()
    points = ann.page.locator("#losses polyline").first.get_attribute("points")
    assert len(points.split()) == 3
    assert ann.page.evaluate("window.here") is True
    expect(ann.page.locator("#runs th").nth(4)).to_have_text("seeds found")
    expect(ann.page.locator("#runs th").nth(5)).to_have_text("types right")
    expect(ann.page.locator("#runs td").nth(4)).to_have_text(re.compile("%$"))
    run = requests.get(f"{ward.page}api/training", timeout=30).json()["runs"][0]
    assert run["state"] == "done" and run["patients"] == {"lung": 5, "oesophagus": 5}
    assert len(run["epochs"]) == 3


def test_predictions_lie_over_the_mips(ward, ann):
    ann.page.locator("nav a[href='#cohort']").click()
    image = "lps_0"
    ann.page.locator(f".card[data-image='{image}']").click()
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    ann.sees_lesion(image)
    bare = ann.settled_marks()
    ann.press("m")
    ann.page.locator("#annotate[data-model]").wait_for()
    ann.page.wait_for_function(f"before => {MARKED} > before + 500", arg=bare)
    with_cam = ann.marked()
    said = ann.page.locator("#opinion").text_content()
    for word in ("Model:", "%", "MTV", "TLG", "SUVmax", "SUVpeak"):
        assert word in said
    ann.press("c")
    ann.page.wait_for_function(f"before => {MARKED} < before", arg=with_cam)
    assert ann.marked() > bare
    ann.press("c", "m")


def test_unusual_uptake_lies_over_the_mips(ward, ann):
    ann.sees_lesion(ann.image)
    bare = ann.settled_marks()  # what the test before had shown is gone
    ann.press("d")
    ann.page.wait_for_function(f"before => {MARKED} > before + {SOME}", arg=bare)
    expect(ann.page.locator("#show-unusual")).to_have_attribute("aria-pressed", "true")
    ann.press("d")
    ann.page.wait_for_function(f"before => {MARKED} < before + {SOME}", arg=bare)


def test_a_click_tried_gives_the_contour_of_the_click_recorded(ward):
    patient = ward.patients["off_origin_1"]
    position = patient.centre.tolist()
    url = f"{ward.page}api/images/{patient.name}"
    before = len(ward.server.seeds(patient.name))
    tried = requests.post(
        f"{url}/delineation", json={"position": position, "cancer_type": patient.cancer_type}, timeout=60
    ).json()
    assert len(ward.server.seeds(patient.name)) == before
    stored = requests.get(f"{ward.server.url}/datastore/image/info", params={"image": patient.name}, timeout=60)
    assert stored.ok
    saved = requests.post(
        f"{url}/annotations", json={"position": position, "cancer_type": patient.cancer_type, "seen": 9}, timeout=60
    )
    assert saved.status_code == 201
    index = ward.server.seeds(patient.name)[-1]["index"]
    answer = ward.server.click(patient.name, patient.cancer_type, index, output="json").json()
    (lesion,) = answer["lesions"]
    for figure in ("volume_ml", "suv_max", "suv_peak", "suv_mean", "tlg"):
        assert tried[figure] == pytest.approx(lesion[figure], rel=1e-9)


def test_z_takes_back_what_was_not_saved_and_then_what_was(ward, ann):
    image = "ras_1"
    ann.page.locator("nav a[href='#cohort']").click()
    ann.page.locator(f".card[data-image='{image}']").click()
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    recorded = ann.seed
    patient = ward.patients[image]
    x, _, z = ras_index(patient)
    ann.sees_lesion(image)
    ann.press("Delete")
    assert not ann.seed.size
    ann.click("coronal", x + 1, z - 1)
    moved = ann.seed
    assert not np.allclose(moved, recorded)
    ann.press("z", "Control+z")
    np.testing.assert_allclose(ann.seed, recorded)
    ann.sees_lesion(image)
    ann.press("Delete")
    ann.click("coronal", x + 1, z - 1)
    ann.press("Enter")
    ann.wait_for_other(image)
    ann.saved()
    assert len(ward.server.seeds(image)) == 2
    ann.press("z")
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    ann.told("taken back")
    np.testing.assert_allclose(ann.seed, moved)
    assert len(ward.server.seeds(image)) == 1
    history = requests.get(f"{ward.page}api/images/{image}/annotations", timeout=30).json()
    assert [said["kind"] for said in history] == ["seed", "seed", "withdrawn"]
    assert [said["counts"] for said in history] == [True, False, False]


def test_m_brings_the_slices_to_the_model_s_lesion(ward, ann):
    found = requests.get(f"{ward.page}api/images/{ann.image}/prediction", timeout=60).json()
    patient = ward.patients[ann.image]
    ann.press("ArrowUp", "ArrowUp", "Shift+ArrowLeft")
    before = ann.page.locator("#annotate").get_attribute("data-cross")
    ann.press("m")
    ann.page.wait_for_function("before => document.querySelector('#annotate').dataset.cross !== before", arg=before)
    cross = np.array(ann.page.locator("#annotate").get_attribute("data-cross").split(), dtype=int)
    np.testing.assert_array_equal(cross, np.rint(patient.scan.to_index(np.array(found["lesion"]["centroid"]))))
    ann.press("m")


def test_enter_is_the_page_s_after_a_click_on_history(ward, ann):
    ann.page.locator("#history summary").click()
    expect(ann.page.locator("#history")).to_have_attribute("open", "")
    image = ann.image
    ann.press("Enter")
    ann.wait_for_other(image)
    expect(ann.page.locator("#history")).to_have_attribute("open", "")
    ann.press("z")
    ann.page.locator(f"#annotate[data-drawn='{image}']").wait_for()


def test_escape_keeps_the_annotator_s_name(ward, ann, browser):
    ann.page.locator("#who").click()
    ann.page.keyboard.type("somebody")
    ann.press("Escape")
    ann.page.locator("#name[open]").wait_for(state="detached")
    expect(ann.page.locator("#who")).to_have_text("Ann")
    page = browser.new_page()
    page.goto(ward.page)
    page.locator("#name[open]").wait_for()
    for _ in range(3):
        page.keyboard.press("Escape")
    page.locator("#name[open]").wait_for()
    assert page.evaluate("localStorage.annotator") is None
    page.close()


def test_no_request_to_another_host(ward, ann):
    assert len(ann.requested) > 50
    assert {url.split("/wslpet/")[0] for url in ann.requested if not url.startswith("blob:")} == {ward.server.url}


def test_the_cohort_shows_states_and_filters(ward, ann):
    (ward.server.studies / "broken.nii.gz").write_bytes(b"no scan")
    ann.page.locator("nav a[href='#cohort']").click()
    ann.page.locator(".card.unreadable", has_text="cannot be read").wait_for(timeout=WAIT_MS)
    ann.page.locator("#states .unreadable").click()
    expect(ann.page.locator(".card")).to_have_count(1)
    ann.page.locator("#states button").first.click()
    ann.page.locator("#search").fill("lps lung")
    expect(ann.page.locator(".card")).to_have_count(1)
    ann.page.locator("#search").fill("")
    with ann.page.expect_download() as download:
        ann.page.locator("#export").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "image,cancer_type,x,y,z,user,time,lesion,contour,step" and len(lines) == 11
    expect(ann.page.locator("#annotators")).to_contain_text("Ann")
    assert download.value.suggested_filename == "wslpet-annotations.csv"
    # The unreadable one is told, and not counted as work to be done.
    ann.page.wait_for_function(
        "() => document.querySelector('#done-text').textContent.includes('of 10 annotated, 1 un')"
    )


def test_a_filter_that_hides_everybody_says_so(ward, ann):
    ann.page.locator("#search").fill("nobody of this name")
    expect(ann.page.locator("#nothing")).to_contain_text("all 11 patients are hidden")
    ann.page.locator("#nothing button").click()
    expect(ann.page.locator(".card")).to_have_count(11)


def test_the_cohort_is_sorted_and_listed_with_numbers(ward, ann):
    page = ann.page
    page.locator("#as-list").click()
    page.locator("#list tbody a").first.wait_for()
    names = page.locator("#list tbody a").all_text_contents()
    assert names == sorted(names)
    page.locator("#list tbody tr:has-text('ras_0') td:nth-child(5):has-text('.')").wait_for()
    page.locator("#order").select_option("burden (MTV)")
    volumes = [text for text in page.locator("#list tbody td:nth-child(5)").all_text_contents() if text]
    assert [float(text) for text in volumes] == sorted(map(float, volumes), reverse=True)
    page.locator("#order").select_option("name")
    page.locator("#as-list").click()


@pytest.mark.parametrize(("button", "columns"), [("export-lesions", "suv_max"), ("export-patients", "mtv_ml")])
def test_tables_of_the_burden_are_taken_home(ward, ann, button, columns):
    with ann.page.expect_download() as download:
        ann.page.locator(f"#{button}").click()
    served = requests.get(f"{ward.page}api/{download.value.suggested_filename.removeprefix('wslpet-')}", timeout=60)
    content = Path(download.value.path()).read_bytes()
    assert content == served.content and columns in content.decode().splitlines()[0]


def test_a_patient_has_an_address_and_the_one_before_comes_back(ward, ann, browser):
    page = ann.page
    for image in ("ras_0", "lps_0"):
        page.goto(f"{ward.page}#annotate/{image}")
        page.locator(f"#annotate[data-drawn='{image}']").wait_for()
    assert page.url.endswith("#annotate/lps_0")
    ann.press("PageUp")
    page.locator("#annotate[data-drawn='ras_0']").wait_for()
    with page.expect_download() as download:
        page.locator("#take-home summary").click()
        page.locator("#exports button", has_text="NIfTI").click()
    assert download.value.suggested_filename == "ras_0-lesions.nii.gz"
