"""Figures of a study: box plots, ROC curves, learning curves, and patients from best to worst Dice."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from wslpet.core.arrays import BoolArray
from wslpet.method.inference.pipeline import find_primary
from wslpet.method.inference.plotting import Case, gallery
from wslpet.method.inference.result import Result
from wslpet.method.network.checkpoint import load_model
from wslpet.study.design.paper import OUTCOME
from wslpet.study.execution.runs import Run, mask_in
from wslpet.study.results.outcomes import Outcome
from wslpet.study.results.results import REFERENCE, Results
from wslpet.study.systems import SYSTEMS

Path = str | os.PathLike[str]
# Okabe and Ito's palette, black and yellow left out.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
OURS_COLOUR = "#D55E00"
GALLERY = 8


def draw_all(results: Results, folder: os.PathLike[str], data: str) -> dict[str, str]:
    """Draw every figure that the results allow; returns file name → caption."""
    drawings: dict[str, tuple[Callable[[Results, Path], bool], str]] = {
        "dice.png": (dice_boxes, "Dice of every patient; the box is the quartiles, the line the median."),
        "curve.png": (
            learning_curve,
            "Dice against the number of annotated patients: a click and a type each for ours, a full mask each for the "
            "U-Net. Mean and 95 % interval.",
        ),
        "roc.png": (roc_curves, "Outcome: ROC curves of the probabilities out of fold."),
        "gallery.png": (
            best_to_worst,
            "Ours without a click, from the best patient to the worst: both MIPs with CAM, lesion, truth and seed.",
        ),
    }
    return {
        name: f"{text} {data[:1].upper()}{data[1:]}."
        for name, (draw, text) in drawings.items()
        if draw(results, os.path.join(folder, name))
    }


def dice_boxes(results: Results, path: Path) -> bool:
    """Box plots of Dice: one panel for each cancer type, one box for each system."""
    shown = [one for one in results.systems.values() if one.system.segments]
    if not shown:
        return False
    types = results.study.plan.types
    figure, panels = panels_of(len(types), 5.0, 0.9 + 0.34 * len(shown))
    for axes, cancer_type in zip(panels, types, strict=True):
        values = [one.dice(cancer_type) for one in shown][::-1]
        boxes = axes.boxplot(values, orientation="horizontal", widths=0.6, patch_artist=True, showfliers=False)
        rng = np.random.default_rng(0)
        for number, (box, own, one) in enumerate(zip(boxes["boxes"], values, shown[::-1], strict=True), start=1):
            colour = OURS_COLOUR if one.system.name == REFERENCE else COLOURS[0]
            box.set(facecolor=colour, alpha=0.35, edgecolor="0.3")
            axes.plot(own, number + rng.uniform(-0.2, 0.2, len(own)), ".", ms=3, color=colour, alpha=0.7)
        for median in boxes["medians"]:
            median.set(color="0.1")
        axes.set(xlim=(-0.02, 1.02), xlabel="Dice", title=f"{cancer_type}, {len(values[0])} patients")
        axes.set_yticks(range(1, len(shown) + 1), [one.system.title for one in shown[::-1]])
        axes.grid(axis="x", color="0.9")
    for axes in panels[1:]:
        axes.set_yticklabels([])
    return saved(figure, path)


def learning_curve(results: Results, path: Path) -> bool:
    """Dice against the number of training patients."""
    names = list(dict.fromkeys(point.system for point in results.curve))
    if not names:
        return False
    figure, (axes,) = panels_of(1, 5.2, 3.4)
    for number, name in enumerate(names):
        points = [point for point in results.curve if point.system == name]
        dice = np.array([(p.dice.value, p.dice.value - p.dice.low, p.dice.high - p.dice.value) for p in points]).T
        colour = OURS_COLOUR if name == REFERENCE else COLOURS[number]
        annotated = [point.annotated for point in points]
        label = f"{SYSTEMS[name].title} ({SYSTEMS[name].supervision})"
        axes.errorbar(annotated, dice[0], dice[1:], marker="o", ms=4, capsize=3, color=colour, label=label)
    ticks = sorted({point.annotated for point in results.curve})
    axes.set(xscale="log", ylim=(0, 1), xlabel="annotated patients", ylabel="Dice")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return saved(figure, path)


def roc_curves(results: Results, path: Path) -> bool:
    """ROC curves: one panel for each cancer type with known outcomes."""
    types = [
        name
        for name in results.study.plan.types
        if any(isinstance(one.outcomes.get(name), Outcome) for one in results.systems.values())
    ]
    if not types:
        return False
    figure, panels = panels_of(len(types), 4.4, 4.6)
    for axes, cancer_type in zip(panels, types, strict=True):
        found = [(one, one.outcomes[cancer_type]) for one in results.systems.values() if cancer_type in one.outcomes]
        for number, (one, outcome) in enumerate(found):
            if isinstance(outcome, Outcome):
                false, true, _ = roc_curve(outcome.outcomes, outcome.probabilities)
                ours, value = one.system.name == REFERENCE, outcome.performance.pooled["auc"].value
                (line,) = axes.plot(false, true, label=f"{one.system.title}, {value:.2f}")
                line.set(color=OURS_COLOUR if ours else COLOURS[number % 7], lw=2 if ours else 1)
                line.set_linestyle("-" if number < 7 else "--")
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
        axes.set_title(f"{cancer_type}: {OUTCOME.get(cancer_type, 'outcome')}", fontsize=9)
        axes.legend(fontsize=6, frameon=False, loc="lower right")
    return saved(figure, path)


def best_to_worst(results: Results, path: Path) -> bool:
    """Ours on patients spread evenly from the best Dice to the worst."""
    study = results.study
    if results.reference is None or not (study.folder / Run(REFERENCE, 0).place / "model.pt").exists():
        return False
    dice = results.reference.dice()
    order = np.argsort(-dice, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(GALLERY, len(order))).round().astype(int))]
    cases = []
    for number in chosen:
        patient, run = study.patients[number], Run(REFERENCE, int(study.fold_of[number]))
        volume, model = patient.volume(), load_model(study.folder / run.place / "model.pt")
        result = _as_kept(find_primary(volume, model), mask_in(run, study.folder, patient, volume))
        truth = volume.with_array(patient.truth(volume).astype(np.uint8), "label")
        guess = "" if result.cancer_type == patient.cancer_type else f", taken for {result.cancer_type}"
        title = f"{patient.name}: Dice {dice[number]:.2f}\n{patient.cancer_type}{guess}"
        cell_mm = model.settings.grid_mm * model.settings.stride
        cases.append(Case(volume, result, cell_mm, patient.row.seed, truth, title))
    gallery(cases, path, columns=4, dpi=80)
    return True


def _as_kept(result: Result, mask: BoolArray) -> Result:
    # Show the mask that was measured, not one computed again.
    return replace(result, mask=result.mask.with_array(mask.astype(np.uint8)), slices=None)


def panels_of(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of panels beside each other, of a size in inches each."""
    figure = Figure(figsize=(width * count, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def saved(figure: Figure, path: Path) -> bool:
    """Write a figure; True, for "drawn"."""
    figure.savefig(path, dpi=90)
    return True
