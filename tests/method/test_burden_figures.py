"""The figures of one patient: where lesions are drawn, and what the pages say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.helpers.blobs import empty, scan, stored_as
from wslpet.core.seeds import Annotation, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.burden import MeasuredScan, annotated_burden
from wslpet.method.burden_figures import ENDS, PLANES, figures, figures_pdf

# Voxels of the RAS grid: one at the patient's right, in front and high up; one at the left, behind and low.
CENTRES = ((76, 60, 72), (30, 22, 20))


@pytest.fixture(scope="module")
def measured() -> tuple[Volume, MeasuredScan]:
    ras = empty((100, 80, 90), (4.0, 5.0, 6.0))
    centres = [ras.to_world(np.array(centre)) for centre in CENTRES]
    ras = scan(ras, [(centres[0], (25, 25, 25), 9.0), (centres[1], (20, 20, 20), 7.0)])
    volume = stored_as(ras, (2, 0, 1), (True, False, True))
    seeds = tuple(Seed("lung", tuple(centre), user="Ann $1$") for centre in centres)
    return volume, annotated_burden("a", volume, Annotation(seeds), Settings())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)] + cells(figure)


def cells(figure: Figure) -> list[str]:
    tables = [table for axes in figure.axes for table in axes.tables]
    return [cell.get_text().get_text() for table in tables for cell in table.get_celld().values()]


def outlines(axes) -> np.ndarray:
    """(n, 2) points of the outlines of a panel, as shares of its width and height from the lower left."""
    points = np.concatenate([path.vertices for drawn in axes.collections for path in drawn.get_paths()])
    return axes.transLimits.transform(points)


def test_the_first_page_shows_both_mips_and_the_table(measured):
    volume, found = measured
    first, second = figures(volume, found, "Anna $x$")
    said = texts(first)
    assert "Anna $x$" in said
    assert any(text.startswith("lung; Ann $1$") and "2 lesions, MTV" in text for text in said)
    for lesion in found.record.lesions:
        assert f"{lesion.volume_ml:.2f}" in said and f"{lesion.suv_max:.2f}" in said
    assert [text for text in texts(second) if text.startswith("lesion ")] == [
        f"lesion {lesion.number}: {lesion.volume_ml:.2f} ml, SUVmax {lesion.suv_max:.2f}"
        for lesion in found.record.lesions
    ]


@pytest.mark.parametrize(("panel", "axis"), [(0, 0), (1, 1)])
def test_lesions_are_outlined_where_a_reader_expects_them_on_the_mips(measured, panel, axis):
    volume, found = measured
    shape = (100, 80, 90)
    points = outlines(figures(volume, found, "a")[0].axes[panel])
    high = points[points[:, 1] > 0.5]
    for part, centre in ((high, CENTRES[0]), (points[points[:, 1] <= 0.5], CENTRES[1])):
        # Right and front are on the left.
        assert part.mean(axis=0) == pytest.approx(
            [1 - (centre[axis] + 0.5) / shape[axis], (centre[2] + 0.5) / shape[2]], abs=0.02
        )


def test_each_slice_goes_through_the_middle_of_its_lesion(measured):
    volume, found = measured
    panels = figures(volume, found, "a")[1].axes
    assert len(panels) == 2 * len(PLANES)
    for axes in panels:
        assert outlines(axes).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.05)
        picture = axes.images[0].get_array()
        assert picture.max() > 6  # the lesion
    assert [text for text in texts(panels[0].figure) if text in PLANES] == list(PLANES) * 2
    assert [text.get_text() for text in panels[0].texts][:4] == list(ENDS["axial"])


def test_many_lesions_take_more_pages(measured):
    volume, found = measured
    one = found.record.lesions[0]
    many = replace(found.record, lesions=tuple(replace(one, number=n) for n in range(1, 71)))
    pages = figures(volume, MeasuredScan(many, found.labels), "a")
    assert len(pages) == 1 + 2 + 18
    rows = [text for page in pages[:3] for text in cells(page) if text.isdigit()]
    assert set(map(str, range(1, 71))) <= set(rows)
    assert any(text.endswith("Page 21 of 21") for text in texts(pages[-1]))


def test_a_patient_without_a_lesion_has_one_page(measured):
    volume, found = measured
    none = MeasuredScan(
        replace(found.record, lesions=(), state="no tumour"),
        found.labels.with_array(np.zeros_like(found.labels.array), "label"),
    )
    (page,) = figures(volume, none, "a")
    assert any("no tumour" in text for text in texts(page))


def test_the_file_is_a_pdf_and_the_same_again(measured):
    volume, found = measured
    content = figures_pdf(volume, found, "a")
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page ") == 2 and b"/CreationDate" not in content
    assert figures_pdf(volume, found, "a") == content
