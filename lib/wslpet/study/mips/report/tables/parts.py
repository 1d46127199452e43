"""Cells and footnotes of the tables."""

from __future__ import annotations

from collections.abc import Sequence

from wslpet.analysis.statistics import Estimate
from wslpet.study.mips.results import Judged
from wslpet.study.mips.systems.registry import system_of
from wslpet.study.results.tables import NOT_LEARNED
from wslpet.study.results.text_table import NONE, Table, interval

__all__ = ["NONE", "NOT_LEARNED", "Table", "interval", "notes_of", "percent", "title_of"]


def title_of(name: str) -> str:
    """Title of a system, quoted."""
    return f'"{system_of(name).title}"'


def percent(estimate: Estimate | None) -> str:
    """A share and its interval, %."""
    if estimate is None:
        return NONE
    return f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def notes_of(rows: Sequence[Judged]) -> list[str]:
    """Which systems did not learn the types."""
    unlearned = [one.system.title for one in rows if not one.counts]
    if not unlearned:
        return []
    return [
        f"{', '.join(unlearned)}: the maps are those of the predicted type, and the interval of the type accuracy "
        f"contains the share of the most frequent type: {NOT_LEARNED}, so the masks say nothing of the method."
    ]
