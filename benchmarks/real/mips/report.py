"""Figures of all systems: a dictionary for JSON, a table, a page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from wslpet.analysis.statistics import Estimate
from wslpet.study.mips import results
from wslpet.study.mips.judging import Outcome
from wslpet.study.mips.results import FALSE_PLACES
from wslpet.study.mips.systems.registry import SYSTEMS, system_of

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
                tests = results.compare(found, reference).p
                entry["against_one_click"] = {f"{name}_p": p for name, p in tests.items()}
    _ratios(result)
    return result


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of a system; what it does not say is None."""
    ill = [one for one in outcomes if one.ill]
    dice = [one.dice for one in ill if one.dice is not None]
    mean = _plain(results.mean(dice))
    return {
        "n": len(ill),
        "lesion_free": len(outcomes) - len(ill),
        "strongest_place": _plain(results.share([one.strongest_place for one in ill])),
        "dice": None if mean is None else {**mean, "median": float(np.median(dice))},
        "froc": {f"{false:g}": results.sensitivity_at(outcomes, false) for false in FALSE_PLACES},
        "auc": _plain(results.auc_of(outcomes)),
        "specificity_at_95": results.specificity(outcomes),
        "type_accuracy": _plain(results.share([one.type_right for one in ill])),
        "calibration": results.calibration(outcomes),
    }


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)


def _ratios(result: dict[str, Any]) -> None:
    full = result.get("full_masks", {}).get("dice")
    for system in ("one_click", "every_lesion"):
        own = result.get(system, {}).get("dice")
        if full and own:
            result[system]["dice_of_full_masks"] = own["value"] / full["value"]


def _rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    order = [*(name for name in SYSTEMS if name in result), *(name for name in result if name not in SYSTEMS)]
    return [
        _row(system_of(name).title, size, values) for name in order for size, values in result[name]["sizes"].items()
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
        f"<h2>{html.escape(system_of(name).title)}</h2>" + _curve(values["calibration"])
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
