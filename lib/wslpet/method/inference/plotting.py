"""Figures of one patient or several: both MIPs with CAM, lesion outline, ground truth and seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from wslpet.core.seeds import NO_TUMOUR, Annotation, Seed, annotation_of
from wslpet.core.volume import Volume
from wslpet.method.inference.result import Result
from wslpet.method.projection.mip import VIEWS, GridImage, Projection, project, to_grid

# Inverse grey, as usual in nuclear medicine; black from this SUV up.
SUV_WINDOW = (0.0, 10.0)
# Okabe and Ito's palette: told apart without red-green vision, and in print.
CAM_COLOUR, LESION_COLOUR, TRUTH_COLOUR, SEED_COLOUR = "#E69F00", "#56B4E9", "#009E73", "#D55E00"
CAM_MAP = ListedColormap([CAM_COLOUR])
CAM_OPACITY = 0.75
CROP_GRID_MM = 4.0

INCH_PER_METRE = 4.6
GAP, SIDE, TITLE, LEGEND = 0.12, 0.12, 0.42, 0.34  # inches
ENDS = {"coronal": ("R", "L"), "sagittal": ("A", "P")}


@dataclass(frozen=True, eq=False)
class Case:
    """What a figure shows of one patient.

    Parameters
    ----------
    volume : the scan in SUV, as stored.
    result : of `find_lesions` or `delineate` in it.
    cell_mm : size of a CAM cell, mm; None draws no CAM.
    seed : the click or clicks, each drawn as a cross.
    truth : mask of the same geometry, drawn dashed.
    title : None composes one from the result.
    """

    volume: Volume
    result: Result
    cell_mm: float | None = None
    seed: Annotation | Seed | None = None
    truth: Volume | None = None
    title: str | None = None


def picture(case: Case, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write both MIPs of one patient as PNG, coronal view left, in physical proportion."""
    gallery([case], path, columns=1, dpi=dpi)


def gallery(cases: Sequence[Case], path: str | os.PathLike[str], columns: int = 4, dpi: int = 110) -> None:
    """Write several patients as one PNG, all to the same scale.

    Parameters
    ----------
    cases : at least one; drawn row by row.
    columns : patients a row.
    """
    sheets = [_Sheet(case) for case in cases]
    columns = min(columns, len(sheets))
    rows = [sheets[i : i + columns] for i in range(0, len(sheets), columns)]
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(columns)]
    heights = [max(sheet.height for sheet in row) for row in rows]
    width, height = max(sum(widths), 3.6), sum(heights) + LEGEND
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    top = height
    for row, row_height in zip(rows, heights, strict=True):
        left = (width - sum(widths)) / 2
        for sheet, column_width in zip(row, widths, strict=False):
            sheet.draw(figure, left + (column_width - sheet.width) / 2, top)
            left += column_width
        top -= row_height
    _legend(figure, cases)
    figure.savefig(path, dpi=dpi)


class _Sheet:
    """One patient's two panels; lengths in inches, positions in mm from the outer edge of the first voxel."""

    def __init__(self, case: Case) -> None:
        self.case = case
        ras = case.volume.to_ras()
        self.ras = ras
        views = project(ras)
        self.projections = dict(zip(VIEWS, views, strict=True))
        images = case.result.images or dict(zip(VIEWS, to_grid(views, CROP_GRID_MM), strict=True))
        self.images = images
        self.limits = {view: _limits(self.projections[view], images[view]) for view in VIEWS}
        self.sizes = {v: tuple((b - a) * INCH_PER_METRE / 1000 for a, b in self.limits[v]) for v in VIEWS}
        self.width = sum(self.sizes[view][0] for view in VIEWS) + GAP + 2 * SIDE
        self.height = self.sizes["coronal"][1] + TITLE

    def draw(self, figure: Figure, left: float, top: float) -> None:
        width, height = figure.get_size_inches()
        text = _title(self.case)
        figure.text((left + SIDE) / width, (top - 0.12) / height, text, va="top", fontsize=8, color="0.1")
        x = left + SIDE
        for view in VIEWS:
            w, h = self.sizes[view]
            axes = figure.add_axes((x / width, (top - TITLE - h) / height, w / width, h / height))
            self._panel(axes, view)
            x += w + GAP

    def _panel(self, axes: Axes, view: str) -> None:
        projection, (u, z) = self.projections[view], self.limits[view]
        axes.imshow(
            projection.mip.T,
            cmap="gray_r",
            vmin=SUV_WINDOW[0],
            vmax=SUV_WINDOW[1],
            extent=_extent(projection.mip.shape, projection.spacing),
            origin="lower",
            interpolation="bilinear",
        )
        if self.case.cell_mm is not None and view in self.case.result.cams:
            self._cam(axes, view, self.case.cell_mm)
        _outline(axes, self.case.result.mask, view, LESION_COLOUR, "solid", halo=True)
        if self.case.truth is not None:
            _outline(axes, self.case.truth, view, TRUTH_COLOUR, "dashed", halo=False)
        if self.case.seed is not None and self.case.seed.cancer_type != NO_TUMOUR:
            for seed in annotation_of(self.case.seed).seeds:
                self._seed(axes, view, seed)
        # Radiological convention: the patient's right, and the front, are on the left.
        axes.set(xlim=u[::-1], ylim=z, xticks=[], yticks=[], aspect="equal")
        for spine in axes.spines.values():
            spine.set(color="0.8", linewidth=0.6)
        for x, end, side in ((0.02, ENDS[view][0], "left"), (0.98, ENDS[view][1], "right")):
            axes.text(x, 0.985, end, transform=axes.transAxes, ha=side, va="top", fontsize=6, color="0.45")

    def _cam(self, axes: Axes, view: str, cell_mm: float) -> None:
        image, cam = self.images[view], self.case.result.cams[view]
        u, z = (origin * image.grid_mm for origin in image.origin)
        axes.imshow(
            cam.T,
            cmap=CAM_MAP,
            vmin=0,
            vmax=1,
            alpha=CAM_OPACITY * np.clip(cam.T, 0, 1),
            extent=(u, u + cam.shape[0] * cell_mm, z, z + cam.shape[1] * cell_mm),
            origin="lower",
            interpolation="bilinear",
        )

    def _seed(self, axes: Axes, view: str, seed: Seed) -> None:
        x, y, z = (self.ras.to_index(np.array(seed.position)) + 0.5) * self.ras.spacing
        halo = [withStroke(linewidth=2.2, foreground="white")]
        axes.plot([x if view == "coronal" else y], [z], "+", ms=7, mew=1.1, color=SEED_COLOUR, path_effects=halo)


def _limits(projection: Projection, image: GridImage) -> tuple[tuple[float, float], tuple[float, float]]:
    # (first, last) mm along u and z of the network's input, inside the scan
    ends = []
    for axis in (0, 1):
        first = image.origin[axis] * image.grid_mm
        last = min(first + image.mip.shape[axis] * image.grid_mm, projection.mip.shape[axis] * projection.spacing[axis])
        ends.append((first, last))
    return ends[0], ends[1]


def _extent(shape: tuple[int, ...], spacing: Sequence[float]) -> tuple[float, float, float, float]:
    return 0.0, shape[0] * spacing[0], 0.0, shape[1] * spacing[1]


def _outline(axes: Axes, mask: Volume, view: str, colour: str, style: str, halo: bool) -> None:
    ras = mask.to_ras()
    shadow = (ras.array > 0).any(axis=1 if view == "coronal" else 0)  # (u, z)
    if not shadow.any():
        return
    ticks = [(np.arange(n + 2) - 0.5) * s for n, s in zip(shadow.shape, _spacing(ras, view), strict=True)]
    drawn = axes.contour(
        *ticks, np.pad(shadow, 1).T.astype(float), [0.5], colors=colour, linewidths=1.0, linestyles=style
    )
    if halo:
        drawn.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def _spacing(ras: Volume, view: str) -> tuple[float, float]:
    return ras.spacing[0 if view == "coronal" else 1], ras.spacing[2]


def _title(case: Case) -> str:
    if case.title is not None:
        return case.title
    result = case.result
    kind = result.cancer_type
    if case.seed is not None:
        kind += " (clicked)"
    elif kind in result.type_probabilities:
        kind += f" ({result.type_probabilities[kind]:.0%})"
    name = case.volume.name.removesuffix(".gz").removesuffix(".nii")
    if not result.lesions:
        return f"{name}\n{kind}"
    ml = sum(lesion.volume_ml for lesion in result.lesions)
    hottest = max(lesion.suv_max for lesion in result.lesions)
    return f"{name}\n{kind}, {ml:.1f} ml, SUVmax {hottest:.1f}"


def _legend(figure: Figure, cases: Sequence[Case]) -> None:
    width, height = figure.get_size_inches()
    entries: list[tuple[bool, str, dict[str, Any]]] = [
        (any(case.cell_mm and case.result.cams for case in cases), "CAM", {"color": CAM_COLOUR, "lw": 5, "alpha": 0.6}),
        (any(case.result.lesions for case in cases), "lesion", {"color": LESION_COLOUR, "lw": 1.4}),
        (any(case.truth is not None for case in cases), "truth", {"color": TRUTH_COLOUR, "lw": 1.4, "ls": "--"}),
        (any(case.seed is not None for case in cases), "seed", {"color": SEED_COLOUR, "marker": "+", "lw": 0}),
    ]
    handles = [Line2D([], [], label=label, **style) for shown, label, style in entries if shown]
    figure.legend(
        handles=handles,
        ncols=max(1, len(handles)),
        fontsize=6.5,
        frameon=False,
        handlelength=1.6,
        loc="center left",
        bbox_to_anchor=(SIDE / width, LEGEND / 2 / height),
        borderaxespad=0,
    )
    bar = figure.add_axes((1 - (SIDE + 0.85) / width, 0.17 / height, 0.7 / width, 0.07 / height))
    bar.imshow(np.linspace(0, 1, 64)[None], cmap="gray_r", aspect="auto")
    bar.set(xticks=[0, 63], xticklabels=[f"{v:g}" for v in SUV_WINDOW], yticks=[], ylabel="")
    bar.tick_params(length=0, labelsize=6, pad=1)
    bar.text(-0.06, 0.5, "SUV", transform=bar.transAxes, ha="right", va="center", fontsize=6.5)
    for spine in bar.spines.values():
        spine.set(color="0.6", linewidth=0.5)
