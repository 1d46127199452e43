"""Every lesion of a patient on the page: add, choose, delete, grow and shrink, cut, order, take back, save."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import wslpet
from tests.browser.page.annotator import Annotator
from tests.browser.page.conftest import Patient, Ward
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium
AWAY_MM = 120.0


@pytest.fixture
def lea(ward: Ward, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, ward.page, "Lea")
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def hottest_away(patient: Patient) -> tuple[int, int, int]:
    """The hottest voxel far from the tumour, which is on top of both MIPs."""
    voxels = np.stack(np.indices(patient.scan.array.shape), axis=-1) * patient.scan.spacing
    away = np.linalg.norm(voxels - patient.scan.to_index(patient.centre) * patient.scan.spacing, axis=-1) > AWAY_MM
    x, y, z = np.unravel_index(np.argmax(np.where(away, patient.scan.array, 0)), patient.scan.array.shape)
    return int(x), int(y), int(z)


def open_patient(lea: Annotator, image: str) -> None:
    lea.page.locator("nav a[href='#cohort']").click()
    lea.page.locator(f".card[data-image='{image}']").click()
    lea.page.locator(f"#annotate[data-drawn='{image}']").wait_for()


def has(lea: Annotator, lesions: int) -> None:
    lea.page.locator(f"#annotate[data-lesion][data-lesions='{lesions}']").wait_for()
    expect(lea.page.locator("#lesions tbody tr")).to_have_count(lesions)


def volumes(lea: Annotator) -> list[float]:
    cells = lea.page.locator("#lesions tbody td:nth-child(2)").all_text_contents()
    return [float(text.removesuffix(" ml")) for text in cells]


def two_lesions(lea: Annotator, patient: Patient) -> None:
    """Click the tumour, then the hottest place elsewhere."""
    view = patient.views_that_show_it()[0]
    x, y, z = patient.scan.to_index(patient.centre)
    lea.click(view, x if view == "coronal" else y, z)
    has(lea, 1)
    x, y, z = hottest_away(patient)
    lea.click("coronal", x, z)
    has(lea, 2)


def test_two_lesions_are_listed_ordered_deleted_and_saved(ward: Ward, lea: Annotator) -> None:
    patient = ward.patients["permuted_0"]
    open_patient(lea, patient.name)
    two_lesions(lea, patient)
    first, second = volumes(lea)
    burden = lea.page.locator("#burden").text_content()
    assert "2 lesions" in burden
    assert float(burden.split()[1]) == pytest.approx(first + second, abs=0.11)
    # The second is the chosen one.
    lea.press("e")
    lea.page.wait_for_function("() => document.querySelector('#annotate').dataset.lesion")
    assert volumes(lea) == [second, first]
    lea.press("Delete")
    has(lea, 1)
    assert volumes(lea) == [first]
    lea.press("z", "Control+z")
    has(lea, 2)
    assert volumes(lea) == [first, second]
    lea.press("1" if patient.cancer_type == "lung" else "2", "Enter")
    lea.wait_for_other(patient.name)
    lea.saved()
    record = ward.server.seeds(patient.name)[-1]
    assert len(record["seeds"]) == 2
    np.testing.assert_allclose(record["position"], record["seeds"][0]["position"])
    # Opened again: as it was saved; skipping and Z come back to it.
    open_patient(lea, patient.name)
    has(lea, 2)
    lea.press("n")
    lea.wait_for_other(patient.name)
    lea.press("z")
    lea.page.locator(f"#annotate[data-drawn='{patient.name}']").wait_for()
    has(lea, 2)


def test_a_contour_grows_shrinks_changes_its_method_and_loses_a_part(ward: Ward, lea: Annotator) -> None:
    patient = ward.patients["ras_0"]
    open_patient(lea, patient.name)
    x, _, z = hottest_away(patient)
    lea.click("coronal", x, z)
    lea.page.locator("#annotate[data-lesion]").wait_for()
    lea.press("1")
    last = len(volumes(lea)) - 1

    def changed(before: float) -> float:
        lea.page.wait_for_function(
            "([n, before]) => document.querySelectorAll('#lesions td:nth-child(2)')[n]?.textContent !== before",
            arg=[last, f"{before:.1f} ml"],
        )
        return volumes(lea)[last]

    own = volumes(lea)[last]
    lea.press("-")
    smaller = changed(own)
    assert smaller < own
    lea.press("+")
    assert changed(smaller) == own
    lea.page.locator("#method").select_option("50 %")
    half = changed(own)
    expect(lea.page.locator("#lesions tbody tr").nth(last)).to_contain_text("50 %")
    lea.press("z")
    assert changed(half) == own
    # An edge of the lesion is no tumour.
    lea.page.locator("#not-this").click()
    expect(lea.page.locator("#not-this")).to_have_attribute("aria-pressed", "true")
    lea.press("Shift+ArrowLeft", "Shift+ArrowLeft", "Space")
    assert changed(own) < own
    expect(lea.page.locator("#not-this")).to_have_attribute("aria-pressed", "false")


def test_findings_of_the_model_are_taken_over(ward: Ward, lea: Annotator) -> None:
    open_patient(lea, "lps_1")
    if lea.seed.size:  # somebody annotated it before
        has(lea, 1)
        lea.press("Delete")
    lea.press("m")
    lea.page.locator("#annotate[data-model]").wait_for()
    buttons = lea.page.locator("#opinion button")
    buttons.first.click()
    has(lea, 1)
    expect(lea.page.locator("#types button[aria-checked='true']")).to_have_count(1)


def test_a_shows_the_opinion_of_the_model_first_and_then_saves_it(ward: Ward, lea: Annotator) -> None:
    open_patient(lea, "lps_1")
    before = len(ward.server.seeds("lps_1"))
    lea.press("a")
    lea.told("Press A again to agree")
    lea.page.locator("#annotate[data-model]").wait_for()
    assert len(ward.server.seeds("lps_1")) == before
    lea.press("a")
    lea.wait_for_other("lps_1")
    lea.saved()
    assert len(ward.server.seeds("lps_1")) == before + 1
    assert ward.server.seeds("lps_1")[-1]["user"] == "Lea"


def test_the_help_says_the_version(lea: Annotator) -> None:
    lea.press("?")
    expect(lea.page.locator("#help #version")).to_contain_text(f"WSL-PET {wslpet.__version__}.")
    lea.press("Escape")


def test_all_marks_are_hidden_and_a_length_is_measured(ward: Ward, lea: Annotator) -> None:
    open_patient(lea, "ras_1")
    seed = lea.seed
    lea.press("h")
    expect(lea.page.locator("#marks")).to_have_attribute("aria-pressed", "false")
    lea.press("h", "r")
    lea.drawn()
    page, box = lea.page, lea.page.locator("#axial").bounding_box()
    u0, _, u1, _ = (float(v) for v in page.locator("#axial").get_attribute("data-box").split())
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    patient = ward.patients[lea.image]
    length = 0.2 * (u1 - u0) * patient.scan.spacing[0]
    page.locator("#annotate[data-ruler]").wait_for()
    assert float(page.locator("#annotate").get_attribute("data-ruler").split()[0]) == pytest.approx(length, abs=0.5)
    assert np.array_equal(lea.seed, seed)  # a length is no click
