"""The cross of the slices and the ring under the pointer: where they are, what is drawn again when they move."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page.annotator import Annotator
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.synthetic import write_scan

pytestmark = needs_chromium
# The axes that each picture shows.
PICTURES = {"coronal": (0, 2), "sagittal": (1, 2), "axial": (0, 1), "coronal-slice": (0, 2), "sagittal-slice": (1, 2)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    studies = tmp_path_factory.mktemp("studies")
    write_scan(studies, "anna", "anisotropic")
    write_scan(studies, "bert", "off_origin")
    server = Server(studies, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture
def cleo(server: Server, browser: Browser) -> Iterator[Annotator]:
    annotator = Annotator(browser, f"{server.url}/wslpet/#annotate/anna", "Cleo")
    annotator.page.locator("#annotate[data-drawn='anna']").wait_for()
    annotator.page.wait_for_timeout(1000)  # the slices are here
    yield annotator
    annotator.page.goto("about:blank")
    annotator.close()


def cross(cleo: Annotator) -> np.ndarray:
    return np.array((cleo.page.locator("#annotate").get_attribute("data-cross") or "").split(), dtype=float)


def place(cleo: Annotator, picture: str, what: str) -> np.ndarray:
    """Voxel (u, v) of a picture, by the pixels where its cross or ring is."""
    figure = cleo.page.locator(f"#{picture}")
    x, y, width, height = figure.evaluate(f"""(figure) => {{
      const {{ style }} = figure.querySelector(".{what}"), {{ width, height }} = figure.getBoundingClientRect();
      return [parseFloat(style.getPropertyValue("--x")), parseFloat(style.getPropertyValue("--y")), width, height];
    }}""")
    u0, v0, u1, v1 = (float(v) for v in (figure.get_attribute("data-box") or "").split())
    return np.array([u1 - x / width * (u1 - u0), v1 - y / height * (v1 - v0)]) - 0.5


def test_the_cross_is_at_one_voxel_on_every_picture(cleo: Annotator) -> None:
    cleo.press("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
    cleo.drawn()
    at = cross(cleo)
    for picture, axes in PICTURES.items():
        np.testing.assert_allclose(place(cleo, picture, "crosshair"), at[list(axes)], atol=0.15, err_msg=picture)
    cleo.press("h")
    expect(cleo.page.locator(".crosshair:visible")).to_have_count(0)
    cleo.press("h")
    expect(cleo.page.locator(".crosshair:visible")).to_have_count(len(PICTURES))


def test_the_ring_is_light_and_dark_so_that_it_is_seen_on_any_map(cleo: Annotator) -> None:
    box = cleo.page.locator("#axial").bounding_box()
    assert box is not None
    cleo.page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.55)
    ring = cleo.page.locator("#axial .ring")
    ring.wait_for()
    cleo.drawn()
    u0, v0, u1, v1 = (float(v) for v in (cleo.page.locator("#axial").get_attribute("data-box") or "").split())
    pointed = np.floor([u1 - 0.45 * (u1 - u0), v1 - 0.55 * (v1 - v0)])
    np.testing.assert_allclose(place(cleo, "axial", "ring"), pointed, atol=0.15)
    border, shadow = ring.evaluate("ring => [getComputedStyle(ring).borderColor, getComputedStyle(ring).boxShadow]")
    assert border == "rgb(51, 51, 51)" and shadow.count("rgba(255, 255, 255") == 2
    cleo.page.mouse.move(5, 5)
    ring.wait_for(state="hidden")


def test_a_step_draws_the_slice_and_nothing_else(cleo: Annotator) -> None:
    cleo.page.evaluate("""() => {
      window.drawn = [];
      const { drawImage } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.drawImage = function (...what) {
        window.drawn.push(this.canvas.parentElement.id);
        return drawImage.apply(this, what);
      };
    }""")
    before = cross(cleo)
    cleo.press("ArrowUp")
    cleo.page.wait_for_timeout(300)
    assert cross(cleo)[2] == before[2] + 1
    assert cleo.page.evaluate("window.drawn") == ["axial"]
    cleo.press("Shift+ArrowLeft")
    cleo.page.wait_for_timeout(300)
    assert cleo.page.evaluate("window.drawn") == ["axial", "sagittal-slice"]
