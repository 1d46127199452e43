"""Figures of one patient as PDF or PNG: MIPs with the outlined lesions, the table of lesions, slices through each."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from PIL import Image

from wslpet.analysis.burden.lesions import LesionMeasures
from wslpet.analysis.burden.patient import burden_of
from wslpet.analysis.burden.tables import PatientRecord
from wslpet.core.arrays import Array, BoolArray
from wslpet.core.volume import Volume
from wslpet.method.burden import MeasuredScan

A4_INCH = (8.27, 11.69)
PNG_DPI = 150
# As the MIPs of `wslpet segment`: inverse grey, black from this SUV up; Okabe and Ito's blue for lesions.
SUV_WINDOW = (0.0, 10.0)
COLOUR = "#0072B2"
# Side of the square that a slice shows around a lesion.
WINDOW_MM = 200.0
ROWS_FIRST, ROWS_LATER, SLICED = 14, 48, 4
COLUMNS = ("lesion", "volume, ml", "SUVmax", "SUVpeak", "SUVmean", "TLG", "centre, mm (RAS)", "contour", "reader")
# (axis across, axis to the right of the screen, axis up); all of RAS.
PLANES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
# The patient's right, or front, is at the left of the picture.
ENDS = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}
END_PLACES = (
    (0.02, 0.5, "left", "center"),
    (0.98, 0.5, "right", "center"),
    (0.5, 0.98, "center", "top"),
    (0.5, 0.02, "center", "bottom"),
)


@dataclass(frozen=True, eq=False)
class _Scan:
    """A scan and its lesions in RAS."""

    suv: Volume
    labels: Array
    lesions: tuple[LesionMeasures, ...]

    def mm(self, axis: int) -> float:
        """Length of an axis."""
        return self.suv.shape[axis] * self.suv.spacing[axis]


def figures_pdf(volume: Volume, scan: MeasuredScan, title: str) -> bytes:
    """PDF of `figures`, without a date: the same patient gives the same bytes."""
    content = io.BytesIO()
    with PdfPages(content, metadata={"Title": title, "Creator": "WSL-PET", "CreationDate": None}) as pdf:
        for figure in figures(volume, scan, title):
            pdf.savefig(figure)
    return content.getvalue()


def figures_png(volume: Volume, scan: MeasuredScan, title: str) -> bytes:
    """PNG of `figures`, one page below the other, at `PNG_DPI`."""
    pages = []
    for figure in figures(volume, scan, title):
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=PNG_DPI)
        pages.append(Image.open(content).convert("RGB"))
    sheet = Image.new("RGB", (pages[0].width, sum(page.height for page in pages)))
    for number, page in enumerate(pages):
        sheet.paste(page, (0, number * page.height))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def figures(volume: Volume, scan: MeasuredScan, title: str) -> list[Figure]:
    """Pages of A4: MIPs and table; the rest of a long table; three slices through the middle of each lesion.

    Parameters
    ----------
    volume : (i, j, k) in SUVbw, as stored.
    scan : its lesions; the numbers in `scan.labels` are those of the table.
    title : of the patient.
    """
    shown = _Scan(volume.to_ras(), scan.labels.to_ras().array, scan.record.lesions)
    first = _page(title, scan.record)
    for view, left in (("coronal", 0.08), ("sagittal", 0.54)):
        _mip(first.add_axes((left, 0.42, 0.38, 0.44)), shown, view)
    rows = [_row(lesion) for lesion in shown.lesions]
    _table(first, rows[:ROWS_FIRST], top=0.39)
    pages = [first]
    for start in range(ROWS_FIRST, len(rows), ROWS_LATER):
        pages.append(_page(title, scan.record))
        _table(pages[-1], rows[start : start + ROWS_LATER], top=0.86)
    for start in range(0, len(shown.lesions), SLICED):
        pages.append(_page(title, scan.record))
        for place, lesion in enumerate(shown.lesions[start : start + SLICED]):
            _slices(pages[-1], shown, lesion, top=0.88 - 0.205 * place)
    for number, page in enumerate(pages, 1):
        foot = f"WSL-PET, research software: not for diagnosis or treatment. Page {number} of {len(pages)}"
        page.text(0.5, 0.03, foot, ha="center", fontsize=7, color="0.4")
    return pages


def slice_at(array: Array, index: tuple[int, int, int], plane: str) -> Array:
    """(u, v) slice of a RAS array through a voxel: axial (x, y), coronal (x, z), sagittal (y, z)."""
    across, _, _ = PLANES[plane]
    taken: Array = np.take(array, index[across], axis=across)
    return taken


def _page(title: str, record: PatientRecord) -> Figure:
    figure = Figure(figsize=A4_INCH, facecolor="white")
    # A name is text: "$" begins no formula.
    figure.text(0.08, 0.955, title, fontsize=12, weight="bold", va="top", parse_math=False)
    figure.text(0.08, 0.93, _summary(record), fontsize=9, va="top", parse_math=False)
    return figure


def _summary(record: PatientRecord) -> str:
    origin = record.origin
    said = "" if origin is None else f"{origin.cancer_type}; {origin.user or 'no name'}, {origin.time}"
    if not record.lesions:
        return f"{said}\n{record.state}"
    burden = burden_of(record.lesions, record.body)
    many = f"{burden.lesions} lesion" + "s" * (burden.lesions > 1)
    numbers = f"{many}, MTV {burden.mtv_ml:.1f} ml, TLG {burden.tlg:.1f}, SUVmax {burden.suv_max:.1f}"
    distance = f", Dmax {burden.dmax_mm:.0f} mm" if burden.lesions > 1 else ""
    return f"{said}\n{numbers}{distance}; SUV by body weight, grey scale {SUV_WINDOW[0]:g} to {SUV_WINDOW[1]:g}"


def _row(lesion: LesionMeasures) -> list[str]:
    contour = lesion.origin.method + (f" {lesion.origin.step:+d}" if lesion.origin.step else "")
    sizes = f"{lesion.volume_ml:.2f}", f"{lesion.suv_max:.2f}", f"{lesion.suv_peak:.2f}", f"{lesion.suv_mean:.2f}"
    place = ", ".join(f"{value:.0f}" for value in lesion.position)
    return [str(lesion.number), *sizes, f"{lesion.tlg:.1f}", place, contour, lesion.origin.user]


def _table(figure: Figure, rows: list[list[str]], top: float) -> None:
    if not rows:
        return
    height = 0.0165 * (len(rows) + 1)
    axes = figure.add_axes((0.08, top - height, 0.84, height))
    axes.axis("off")
    table = axes.table(rows, colLabels=COLUMNS, cellLoc="right", bbox=Bbox.unit(), edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.3)
        cell.get_text().set_parse_math(False)


def _mip(axes: Axes, scan: _Scan, view: str) -> None:
    across, right, up = PLANES[view]
    _image(axes, scan, view, scan.suv.array.max(axis=across))
    for lesion in scan.lesions:
        shadow: BoolArray = np.any(scan.labels == lesion.number, axis=across)
        _outline(axes, scan, view, shadow)
        u, v = np.argwhere(shadow).mean(axis=0)
        _number(axes, lesion, (u + 0.5) * scan.suv.spacing[right], (v + 0.5) * scan.suv.spacing[up])
    axes.set(xlim=(scan.mm(right), 0), ylim=(0, scan.mm(up)))


def _slices(figure: Figure, scan: _Scan, lesion: LesionMeasures, top: float) -> None:
    place = scan.suv.to_index(np.array(lesion.position))
    x, y, z = (int(np.clip(round(i), 0, n - 1)) for i, n in zip(place, scan.suv.shape, strict=True))
    text = f"lesion {lesion.number}: {lesion.volume_ml:.2f} ml, SUVmax {lesion.suv_max:.2f}"
    figure.text(0.08, top, text, fontsize=8, va="top")
    for number, plane in enumerate(PLANES):
        axes = figure.add_axes((0.08 + 0.29 * number, top - 0.195, 0.26, 0.18))
        _, right, up = PLANES[plane]
        _image(axes, scan, plane, slice_at(scan.suv.array, (x, y, z), plane))
        own = slice_at(scan.labels, (x, y, z), plane)
        _outline(axes, scan, plane, own > 0)
        u, v = ((place[axis] + 0.5) * scan.suv.spacing[axis] for axis in (right, up))
        half = WINDOW_MM / 2
        axes.set(xlim=(u + half, u - half), ylim=(v - half, v + half))


def _image(axes: Axes, scan: _Scan, plane: str, picture: Array) -> None:
    _, right, up = PLANES[plane]
    low, high = SUV_WINDOW
    extent = (0, scan.mm(right), 0, scan.mm(up))
    axes.imshow(picture.T, cmap="gray_r", vmin=low, vmax=high, extent=extent, origin="lower", interpolation="bilinear")
    axes.set(xticks=[], yticks=[], aspect="equal", facecolor="white", anchor="N")
    for spine in axes.spines.values():
        spine.set(color="0.7", linewidth=0.5)
    for end, (u, v, ha, va) in zip(ENDS[plane], END_PLACES, strict=True):
        axes.text(u, v, end, transform=axes.transAxes, ha=ha, va=va, fontsize=6, color="0.45")
    axes.text(0.02, 0.98, plane, transform=axes.transAxes, ha="left", va="top", fontsize=6, color="0.45")


def _outline(axes: Axes, scan: _Scan, plane: str, inside: BoolArray) -> None:
    if not inside.any():
        return
    _, right, up = PLANES[plane]
    # The middles of the voxels, with a rim so that an outline closes at the volume's edge.
    u, v = ((np.arange(-1, scan.suv.shape[axis] + 1) + 0.5) * scan.suv.spacing[axis] for axis in (right, up))
    drawn = axes.contour(u, v, np.pad(inside, 1).T.astype(float), [0.5], colors=COLOUR, linewidths=0.9)
    drawn.set_path_effects([withStroke(linewidth=1.8, foreground="white")])


def _number(axes: Axes, lesion: LesionMeasures, u: float, v: float) -> None:
    halo = [withStroke(linewidth=2, foreground="white")]
    axes.annotate(
        str(lesion.number),
        (u, v),
        xytext=(7, 5),
        textcoords="offset points",
        fontsize=7,
        color=COLOUR,
        path_effects=halo,
    )
