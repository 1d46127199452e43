"""OHIF as MONAI Label bundles it, worked as an annotator works it. Positions are mm in RAS, as everywhere here."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from PIL import Image
from playwright.sync_api import Locator, Page, Response, TimeoutError

PATIENCE_MS = 180_000
PRESS_AGAIN_MS = 5_000
AXIAL = "mpr-axial"
TOOL = "ProbeMONAILabel"
# OHIF's axes are DICOM's: towards left and posterior.
LPS = np.array([-1.0, -1.0, 1.0])
_VIEWPORT = "const viewport = cornerstone.getRenderingEngines()[0].getViewport(id);"
_SEGMENTATION = "services.segmentationService.getSegmentations()[0]"
_LABELMAP = f"({_SEGMENTATION} && services.segmentationService.getLabelmapVolume({_SEGMENTATION}.segmentationId))"
_POINTS = "cornerstoneTools.annotation.state.getAllAnnotations().length"


@dataclass(frozen=True)
class Segmentation:
    """Voxels (n, 3) of OHIF's segmentation by the name of their segment, and its affine to mm RAS."""

    voxels: dict[str, np.ndarray]
    affine: np.ndarray

    def positions(self, name: str) -> np.ndarray:
        """(n, 3) of a segment's voxels; none where it is empty."""
        return apply_affine(self.affine, self.voxels.get(name, np.empty((0, 3))))


class Ohif:
    """One page, on which studies are opened one after another.

    url : of the server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        page.set_default_timeout(PATIENCE_MS)

    def open(self, study: str) -> None:
        """Open a study in the MONAI Label mode and wait until its volume is there."""
        self.page.goto(f"{self.url}/ohif/monai-label?StudyInstanceUIDs={study}", wait_until="commit")
        self._wait("() => window.cornerstone && cornerstone.cache.getVolumes().some(v => v.loadStatus?.loaded)")
        hint = self.page.get_by_text("Confirm and Hide")
        if hint.is_visible():
            hint.click()

    def connect(self) -> None:
        """The address is the server's; press the button beside it."""
        assert self.page.locator("#monailabelServerURL").input_value() == f"{self.url}/"
        self.page.click(".settingsTable .actionButton")
        self._tab("Auto-Segmentation").wait_for()
        self._wait(f"() => {_LABELMAP}")

    def auto_segment(self) -> Response:
        """Auto-Segmentation, Run."""
        self._tab("Auto-Segmentation").click()
        return self._answer_of("infer", lambda: self.page.click('button[title="Run Segmentation"]'))

    def choose(self, cancer_type: str) -> None:
        """Point Prompts, and the row of a cancer type."""
        self._tab("Point Prompts").click()
        group = f"services.toolGroupService.getToolGroupForViewport('{AXIAL}')"
        self._wait(f"() => {group}.getToolOptions('{TOOL}')?.mode === 'Active'")
        # A point placed before the row is marked has no label. OHIF can lose a press while it renders: press again.
        row = self.page.locator("tr.clickable-row:visible", has_text=cancer_type)
        marked = self.page.locator('tr.clickable-row[style*="dark"]:visible', has_text=cancer_type)
        for _ in range(PATIENCE_MS // PRESS_AGAIN_MS):
            row.click()
            with suppress(TimeoutError):
                return marked.wait_for(timeout=PRESS_AGAIN_MS)
        raise AssertionError(f"OHIF does not mark the row {cancer_type!r}")

    def show(self, position: np.ndarray, viewport: str = AXIAL) -> None:
        """Scroll a viewport to the slice of a position."""
        script = f"([id, world]) => {{ {_VIEWPORT} viewport.jumpToWorld(world); viewport.render(); }}"
        self.page.evaluate(script, [viewport, (position * LPS).tolist()])

    def click(self, position: np.ndarray, viewport: str = AXIAL) -> np.ndarray:
        """Press the mouse where the viewport shows a position; returns the one under the pointer, (3,)."""
        x, y, *world = self._on_screen(position, viewport)
        placed = self.page.evaluate(f"() => {_POINTS}")
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.up()
        self._wait(f"() => {_POINTS} > {placed}")
        return np.array(world) * LPS

    def coloured(self, position: np.ndarray, viewport: str = AXIAL, around: int = 40) -> int:
        """How many pixels within `around` pixels of a position are drawn in a colour; PET is grey."""
        x, y, *_ = self._on_screen(position, viewport)
        clip = {"x": x - around, "y": y - around, "width": 2 * around, "height": 2 * around}
        drawn = np.array(Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("RGB"), int)
        return int((np.ptp(drawn, axis=2) > 25).sum())

    def clear_points(self) -> None:
        """Point Prompts, Clear All Points: the mouse would take hold of a point that is near."""
        self.page.get_by_text("Clear All Points").click()
        self._wait(f"() => {_POINTS} === 0")

    def run_points(self) -> Response:
        """Point Prompts, Run."""
        return self._answer_of("infer", lambda: self.page.click('button[title="Run PointPrompts"]'))

    def update_model(self) -> Response:
        """Active Learning, Update Model."""
        return self._answer_of("train", lambda: self._active_learning("Update Model"))

    def next_sample(self) -> str:
        """Active Learning, Next Sample, OK: the study that is opened then."""
        self._answer_of("activelearning", lambda: self._active_learning("Next Sample"))
        self.page.once("dialog", lambda dialog: dialog.accept())
        with self.page.expect_navigation(wait_until="commit"):
            self.page.locator(".nextSampleForm button", has_text="OK").click()
        return self.page.url.split("StudyInstanceUIDs=")[-1]

    def _active_learning(self, button: str) -> None:
        found = self.page.locator("button", has_text=button)
        if not found.is_visible():
            self._tab("Active Learning").click()
        found.click()

    def open_label(self) -> None:
        """A double click on the DICOM SEG in the list on the left: its segments are drawn."""
        self.page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
        self.page.get_by_text("Do you want to open this Segmentation?").first.wait_for()
        self._wait(f"() => {_LABELMAP}")

    def open_derived(self, modality: str) -> None:
        """As `open_label`, where other objects without an image are in the list, too."""
        listed = self.page.locator('[data-cy="study-browser-thumbnail-no-image"]')
        listed.filter(has_text=modality).first.dblclick()
        self.page.get_by_text("Do you want to open this Segmentation?").first.wait_for()
        self._wait(f"() => {_LABELMAP}")

    def suv(self, position: np.ndarray) -> float:
        """What the volume on the screen holds at a position."""
        script = """world => { const volume = cornerstone.cache.getVolumes().find(v => v.volumeId != '1');
            return volume.voxelManager.getAtIJK(...volume.imageData.worldToIndex(world).map(Math.round)); }"""
        return self.page.evaluate(script, (position * LPS).tolist())

    def segmentation(self) -> Segmentation:
        """What OHIF holds and draws."""
        script = f"""() => {{
            const volume = {_LABELMAP}, values = volume.voxelManager.getCompleteScalarDataArray(), found = {{}};
            values.forEach((value, n) => value && (found[value] ??= []).push(n));
            const segments = Object.values({_SEGMENTATION}.segments).filter(Boolean);
            const labels = Object.fromEntries(segments.map(s => [s.segmentIndex, s.label]));
            const {{dimensions, origin, spacing, direction}} = volume;
            return {{found, labels, dimensions, origin, spacing, direction: [...direction]}}; }}"""
        told: dict[str, Any] = self.page.evaluate(script)
        affine = np.eye(4)
        affine[:3, :3] = np.array(told["direction"], float).reshape(3, 3).T * told["spacing"]
        affine[:3, 3] = told["origin"]
        affine[:3] *= LPS[:, None]
        voxels = {
            told["labels"][value]: np.stack(np.unravel_index(numbers, told["dimensions"], order="F"), axis=1)
            for value, numbers in told["found"].items()
        }
        return Segmentation(voxels, affine)

    def told(self, words: str) -> str:
        """Wait for a notice of the server with these words; returns all of it."""
        notice = self.page.locator("[data-sonner-toast], .sb-item, .toast", has_text=words).first
        notice.wait_for()
        return notice.text_content() or ""

    def slice_position(self, viewport: str = AXIAL) -> np.ndarray:
        """Middle of a viewport, mm RAS."""
        script = f"id => {{ {_VIEWPORT} return [...viewport.getCamera().focalPoint]; }}"
        return np.array(self.page.evaluate(script, viewport)) * LPS

    def settle(self) -> None:
        """Wait until what changed is drawn."""
        self.page.evaluate("() => { cornerstone.getRenderingEngines()[0].render(); }")
        self.page.wait_for_timeout(500)

    def _on_screen(self, position: np.ndarray, viewport: str) -> list[float]:
        """Pixel (x, y) of the page where a viewport shows a position, and the position of that pixel, LPS."""
        script = f"""([id, world]) => {{ {_VIEWPORT}
            const [x, y] = viewport.worldToCanvas(world).map(Math.round);
            const box = viewport.canvas.getBoundingClientRect();
            return [box.left + x, box.top + y, ...viewport.canvasToWorld([x, y])]; }}"""
        return self.page.evaluate(script, [viewport, (position * LPS).tolist()])

    def _tab(self, name: str) -> Locator:
        return self.page.locator("label.tab-label", has_text=name)

    def _wait(self, condition: str) -> None:
        self.page.wait_for_function(condition)

    def _answer_of(self, service: str, action: Callable[[], None]) -> Response:
        """What the server answers to the request that an action makes."""
        with self.page.expect_response(lambda r: f"/{service}/" in r.url and r.request.method == "POST") as answer:
            action()
        answer.value.finished()
        return answer.value
