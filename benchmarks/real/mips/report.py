"""Figures of all systems: a dictionary for JSON, a table, a page."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real.mips.judging import Outcome, figures
from benchmarks.real.mips.systems import SYSTEMS, TITLES
from wslpet.analysis.statistics import delong_p, paired_p

REFERENCE = "one_click"
HEAD = ("system", "patients", "strongest place", "Dice", "found at 0.5 / 1 / 2", "AUC", "spec. at 95 %", "type")


def summary(outcomes: dict[tuple[str, int], list[Outcome]]) -> dict[str, Any]:
    """A key per system, of all clicked patients; its learning curve under "sizes"; tests against `REFERENCE`."""
    result: dict[str, Any] = {}
    for (system, size), found in outcomes.items():
        values = figures(found)
        entry = result.setdefault(system, {})
        entry.setdefault("sizes", {})[str(size or "all")] = values
        if size == 0:
            entry.update(values)
            reference = outcomes.get((REFERENCE, 0))
            if reference is not None and system != REFERENCE:
                entry["against_one_click"] = _tests(found, reference)
    _ratios(result)
    return result


def _tests(one: list[Outcome], other: list[Outcome]) -> dict[str, float | None]:
    """Paired tests: Wilcoxon of Dice, McNemar's exact test of the strongest place, DeLong of AUC."""
    from scipy.stats import binomtest

    pairs = {a.name: (a, b) for a in one for b in other if a.name == b.name}.values()
    ill = [(a, b) for a, b in pairs if a.ill]
    dice = [(a.dice, b.dice) for a, b in ill if a.dice is not None and b.dice is not None]
    places = [(a.strongest_place, b.strongest_place) for a, b in ill]
    only = [sum(a and not b for a, b in places), sum(b and not a for a, b in places)]
    labels = np.array([a.ill for a, _ in pairs])
    scores = np.array([(a.score, b.score) for a, b in pairs])
    return {
        "dice_p": paired_p(*zip(*dice, strict=True)) if dice else None,
        "strongest_place_p": float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0,
        "auc_p": delong_p(labels, scores[:, 0], scores[:, 1]) if 0 < labels.sum() < len(labels) else None,
    }


def _ratios(result: dict[str, Any]) -> None:
    full = result.get("full_masks", {}).get("dice")
    for system in ("one_click", "every_lesion"):
        own = result.get(system, {}).get("dice")
        if full and own:
            result[system]["dice_of_full_masks"] = own["value"] / full["value"]


def _rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    order = [*(name for name in SYSTEMS if name in result), *(name for name in result if name not in SYSTEMS)]
    return [
        _row(TITLES.get(name, name.replace("-", " without ")), size, values)
        for name in order
        for size, values in result[name]["sizes"].items()
    ]


def _row(title: str, size: str, values: dict[str, Any]) -> tuple[str, ...]:
    def share(name: str, percent: bool) -> str:
        value = values[name]
        if value is None:
            return "–"
        numbers = [value[key] for key in ("value", "low", "high")]
        if percent:
            return "{:.0%} [{:.0%}–{:.0%}]".format(*numbers)
        return "{:.3f} [{:.2f}–{:.2f}]".format(*numbers)

    specificity = values["specificity_at_95"]
    return (
        title,
        size,
        share("strongest_place", True),
        share("dice", False),
        " / ".join(f"{value:.2f}" for value in values["froc"].values()),
        share("auc", False),
        "–" if specificity is None else f"{specificity:.0%}",
        share("type_accuracy", True),
    )


def print_table(result: dict[str, Any]) -> None:
    """As markdown."""
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD))
    for row in _rows(result):
        print("| " + " | ".join(row) + " |")


def write_page(path: Path, result: dict[str, Any]) -> None:
    """The table and the reliability curves as HTML."""
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in _rows(result)
    )
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEAD)
    curves = "".join(
        f"<h2>{html.escape(TITLES.get(name, name))}</h2>" + _curve(values["calibration"])
        for name, values in result.items()
        if values.get("calibration")
    )
    style = "body{font:15px sans-serif;margin:2em}td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #ccc}"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>Real MIPs</title><style>{style}</style><h1>Real MIPs</h1>"
        f"<table><tr>{head}</tr>{cells}</table><h1>Probability of a lesion: predicted and observed</h1>{curves}\n"
    )


def _curve(points: list[dict[str, float]]) -> str:
    """A reliability curve as SVG."""
    dots = "".join(
        f'<circle cx="{200 * p["predicted"]:.0f}" cy="{200 - 200 * p["observed"]:.0f}" r="4"/>' for p in points
    )
    return (
        '<svg width=220 height=220 viewBox="-10 -10 220 220"><rect width=200 height=200 fill=none stroke=#999 />'
        f"<line x1=0 y1=200 x2=200 y2=0 stroke=#999 />{dots}</svg>"
    )
