"""Figures of a study on MIPs: Dice, lesions found against false places, reliability, learning curve; no image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wslpet.study.mips import results
from wslpet.study.mips.report.tables.checks import patients_of
from wslpet.study.mips.results import Judged
from wslpet.study.mips.study import REFERENCE, MipStudy
from wslpet.study.mips.systems.registry import system_of
from wslpet.study.report.figures import COLOURS, OURS_COLOUR, panels_of, saved


def draw_all(study: MipStudy, rows: list[Judged], folder: Path, data: str) -> dict[str, str]:
    """Draw every figure that the results allow; returns file name → caption."""
    shown = [one for one in rows if one.counts]
    drawn = {
        "dice.png": (dice_boxes(shown, folder / "dice.png"), "Dice of every patient; the box is the quartiles."),
        "froc.png": (
            froc_curves(shown, folder / "froc.png"),
            "Share of all lesions found, against false places a person.",
        ),
        "reliability.png": (
            reliability(shown, folder / "reliability.png"),
            "Probability of a lesion, predicted and observed, of people in five equal parts.",
        ),
        "curve.png": (
            learning_curve(study, folder / "curve.png"),
            "Dice against the number of annotated patients: a click and a type each for ours, a full mask each for the "
            "U-Net. Mean and 95 % interval.",
        ),
    }
    return {name: f"{text} {data[:1].upper()}{data[1:]}." for name, (done, text) in drawn.items() if done}


OTHERS = tuple(colour for colour in COLOURS if colour != OURS_COLOUR)
MOST_FALSE_PLACES = 4.0


def _colour(name: str, number: int) -> str:
    return OURS_COLOUR if name == REFERENCE else OTHERS[number % len(OTHERS)]


def dice_boxes(rows: list[Judged], path: Path) -> bool:
    """One box for each system."""
    values = {one.title: [o.dice for o in one.ill if o.dice is not None] for one in rows}
    values = {title: dice for title, dice in values.items() if dice}
    if not values:
        return False
    figure, (axes,) = panels_of(1, 8.0, 0.9 + 0.34 * len(values))
    titles = list(values)[::-1]
    axes.boxplot([values[title] for title in titles], orientation="horizontal", widths=0.6, showfliers=False)
    rng = np.random.default_rng(0)
    for number, title in enumerate(titles, start=1):
        own = np.array(values[title], dtype=float)
        colour = OURS_COLOUR if title.startswith(system_of(REFERENCE).title) else COLOURS[0]
        axes.plot(own, number + rng.uniform(-0.2, 0.2, len(own)), ".", ms=3, color=colour, alpha=0.6)
    axes.set(xlim=(-0.02, 1.02), xlabel="Dice, all lesions of a patient")
    axes.set_yticks(range(1, len(titles) + 1), titles)
    axes.grid(axis="x", color="0.9")
    return saved(figure, path)


def froc_curves(rows: list[Judged], path: Path) -> bool:
    """Lesions found against false places."""
    own = [one for one in rows if one.system.tells_presence]
    if not own:
        return False
    figure, (axes,) = panels_of(1, 8.0, 4.2)
    for number, one in enumerate(own):
        steps = results.froc(one.outcomes)
        steps = steps[steps[:, 0] <= MOST_FALSE_PLACES]
        line = "-" if number < len(OTHERS) else "--"
        colour = _colour(one.system.name, number)
        axes.plot(steps[:, 0], steps[:, 1], line, color=colour, lw=1.2, label=one.title)
    axes.set(
        xlim=(0, MOST_FALSE_PLACES), ylim=(0, None), xlabel="false places a person", ylabel="share of all lesions found"
    )
    axes.grid(color="0.9")
    axes.legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return saved(figure, path)


def reliability(rows: list[Judged], path: Path) -> bool:
    """Predicted and observed probability of a lesion."""
    curves = [(one, curve) for one in rows if (curve := results.calibration(one.outcomes))]
    if not curves:
        return False
    figure, (axes,) = panels_of(1, 4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="0.8", lw=0.8)
    for number, (one, curve) in enumerate(curves):
        predicted, observed = [p["predicted"] for p in curve], [p["observed"] for p in curve]
        axes.plot(predicted, observed, "o-", ms=4, lw=1, color=_colour(one.system.name, number), label=one.title)
    axes.set(xlabel="predicted probability of a lesion", ylabel="observed", aspect="equal")
    axes.legend(fontsize=6, frameon=False)
    return saved(figure, path)


def learning_curve(study: MipStudy, path: Path) -> bool:
    """Dice against the number of clicked patients."""
    folds, everybody = study.curve_folds(), patients_of(study)
    if not folds:
        return False
    figure, (axes,) = panels_of(1, 5.2, 3.4)
    drawn = False
    for number, name in enumerate(study.curve_systems()):
        points = [
            (size or everybody, study.outcomes(name, size, folds=folds)) for size in (*study.curve_sizes(name), 0)
        ]
        means = [(size, results.mean([o.dice for o in found if o.ill])) for size, found in points]
        known = [(size, mean) for size, mean in means if mean is not None]
        if len(known) < 2:
            continue
        dice = np.array([(m.value, m.value - m.low, m.high - m.value) for _, m in known]).T
        label = f"{system_of(name).title} ({system_of(name).supervision})"
        colour = _colour(name, number)
        sizes = [size for size, _ in known]
        axes.errorbar(sizes, dice[0], dice[1:], marker="o", ms=4, capsize=3, color=colour, label=label)
        drawn = True
    axes.set(ylim=(0, 1), xlabel="annotated patients", ylabel="Dice")
    axes.grid(color="0.9")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return drawn and saved(figure, path)
