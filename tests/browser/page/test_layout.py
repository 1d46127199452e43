"""The page on the screens it is used on: laptop, desktop, a laptop at 150 %, a tablet and a phone by touch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.page.conftest import Ward, opened_ward
from tests.helpers.needs import needs_chromium

pytestmark = needs_chromium
SIZES = "[...document.querySelectorAll('#annotate canvas')].map(({ width, height }) => [width, height])"
PICTURES = ("coronal", "sagittal", "axial", "coronal-slice", "sagittal-slice")


@dataclass(frozen=True)
class Screen:
    """A browser window in CSS pixels, and how many pixels each of them has."""

    width: int
    height: int
    ratio: float = 1
    touch: bool = False
    axial: int = 0  # the axial slice is at least this wide

    def opened(self, browser: Browser) -> Page:
        """A page in a context of its own; close the context."""
        context = browser.new_context(
            viewport={"width": self.width, "height": self.height},
            device_scale_factor=self.ratio,
            has_touch=self.touch,
            is_mobile=self.touch,
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        return page


SCREENS = {
    "laptop": Screen(1366, 768, axial=400),
    "desktop": Screen(1920, 1080, axial=700),
    "laptop at 150 %": Screen(911, 512, ratio=1.5, axial=240),
    "tablet": Screen(820, 1180, touch=True, axial=250),
    "phone": Screen(390, 844, ratio=2, touch=True, axial=110),
}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A ward of its own: elsewhere others annotate, until no patient is offered any more."""
    folders = tmp_path_factory.mktemp("studies"), tmp_path_factory.mktemp("scratch")
    with opened_ward(*folders, {"ras_0": 7_300_000, "lps_0": 7_300_002}) as ward:
        yield ward


@pytest.fixture(params=list(SCREENS))
def screen(request: pytest.FixtureRequest) -> Screen:
    return SCREENS[request.param]


@pytest.fixture
def page(ward: Ward, browser: Browser, screen: Screen) -> Iterator[Page]:
    page = screen.opened(browser)
    page.goto(ward.page)
    page.locator("#name[open]").wait_for()
    page.locator("#name input").fill("Ann")
    page.keyboard.press("Enter")
    page.locator("body[data-ready]").wait_for()
    yield page
    page.goto("about:blank")  # so that the page says that it has no patient open any more
    page.context.close()


def test_every_picture_and_button_has_its_place(page: Page, screen: Screen) -> None:
    room = page.locator(".views").bounding_box()
    boxes = {name: page.locator(f"#{name}").bounding_box() for name in PICTURES}
    for name, box in boxes.items():
        assert box["x"] >= room["x"] - 1 and box["x"] + box["width"] <= room["x"] + room["width"] + 1, name
        assert box["y"] >= room["y"] - 1 and box["y"] + box["height"] <= room["y"] + room["height"] + 1, name
        assert box["width"] > 50 and box["height"] > 100, name
    for one in PICTURES:
        for other in PICTURES:
            assert one == other or not _overlap(boxes[one], boxes[other]), (one, other)
    assert boxes["axial"]["width"] >= screen.axial
    # Nothing is cut off at the side, and the controls are as high as there is room for them.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    aside = page.locator("aside")
    assert aside.evaluate("aside => aside.scrollWidth <= aside.clientWidth + 1")
    assert aside.bounding_box()["height"] > 0.6 * screen.height or screen.height > screen.width
    for name in ("save", "skip", "show-model", "agree", "ruler"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= screen.width, name


def test_buttons_stay_where_they_are_while_a_lesion_is_outlined(page: Page, screen: Screen) -> None:
    def places() -> object:
        return page.evaluate("""['types', 'save', 'skip', 'cine', 'show-model'].map((id) => {
          const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
          return [x, y, width, height];
        })""")

    before = places()
    box = page.locator("#coronal").bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.4)
    (page.touchscreen.tap if screen.touch else page.mouse.click)(*at)
    page.wait_for_function("() => document.querySelector('#annotate').dataset.seed")
    page.wait_for_function("() => document.querySelector('#lesions tbody tr, #notices p')")
    page.locator("#types button").first.evaluate("button => button.click()")
    # The list of lesions is not cut off at the side, where "delete" is.
    assert page.locator(".lesions").evaluate("list => list.scrollWidth <= list.clientWidth")
    np.testing.assert_allclose(places(), before, atol=0.1)


def test_a_finger_scrolls_a_slice(page: Page, screen: Screen) -> None:
    if not screen.touch:
        page.locator("#axial").hover()
        before = line(page)
        page.mouse.wheel(0, -100)
    else:
        before = line(page)
        box = page.locator("#axial").bounding_box()
        touch_drag(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 40)
    page.wait_for_function("before => document.querySelector('#annotate').dataset.cross !== before", arg=before)
    expect(page.locator("#annotate")).to_have_attribute("data-seed", "")


def test_pictures_keep_their_size_while_another_tab_is_open(page: Page) -> None:
    before = sizes(page)
    page.locator("nav a[href='#cohort']").click()
    page.locator("#cohort .card").first.wait_for()
    assert sizes(page) == before
    # At once with the click, not a frame later.
    at_once = page.locator("#cohort .card[data-image]").evaluate_all(
        """(cards, canvases) => {
          cards.find(({ dataset }) => dataset.image === document.querySelector('#annotate').dataset.drawn).click();
          return [document.querySelector('#annotate').hidden, eval(canvases)];
        }""",
        SIZES,
    )
    assert at_once == [False, before]


def sizes(page: Page) -> list[list[int]]:
    """Width and height of each canvas, once what was asked is on the screen."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(SIZES)


def line(page: Page) -> str:
    """Where the slices go through, as text."""
    return page.locator("#annotate").get_attribute("data-cross")


def touch_drag(page: Page, x: float, y: float, by: float) -> None:
    """One finger down, moved by some pixels, and up."""
    session = page.context.new_cdp_session(page)
    points = [("touchStart", y), *(("touchMove", y + by * n / 8) for n in range(1, 9))]
    for kind, at in points:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": at}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def _overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
    return not (beside or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"])
