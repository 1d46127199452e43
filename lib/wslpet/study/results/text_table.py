"""A table of text cells, written as Markdown and LaTeX, and the format of its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wslpet.analysis.statistics import Estimate, wilson
from wslpet.core.arrays import Array

NONE = "–"
_LATEX = {
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "%": r"\%",
    "&": r"\&",
    "–": "--",
    "<": "$<$",
    "²": "$^2$",
    "³": "$^3$",
    "_": r"\_",
}


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Parameters
    ----------
    name : for file names and references.
    title : the caption, with the data that it was measured on.
    head, rows : cells as text; the first column names the row.
    notes : footnotes.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [f"**{self.title}**", "", _line(self.head), _line(["---"] * len(self.head)), *map(_line, self.rows)]
        return "\n".join([*lines, "", *self.notes, ""])

    def latex(self) -> str:
        """As LaTeX, with booktabs."""
        columns = "l" + "c" * (len(self.head) - 1)
        body = [" & ".join(map(_latex, row)) + r" \\" for row in (self.head, *self.rows)]
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_latex(' '.join([self.title, *self.notes]))}}}\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                body[0],
                r"\midrule",
                *body[1:],
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def spread(mean: float, sd: float) -> str:
    """Format a mean with its standard deviation."""
    return f"{mean:.2f} ± {sd:.2f}" if np.isfinite(sd) else f"{mean:.2f}"


def interval(estimate: Estimate, form: str = ".2f") -> str:
    """Format a value with its interval."""
    if not np.isfinite(estimate.low):
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}–{estimate.high:{form}}]"


def percent(hits: Array) -> str:
    """Format a proportion in per cent with Wilson's 95 % interval; hits: (patient,) bool."""
    found = wilson(int(hits.sum()), len(hits))
    return f"{100 * found.value:.0f} [{100 * found.low:.0f}–{100 * found.high:.0f}]"


def shown_p(value: float | None) -> str:
    """Format a p-value."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
