"""CSV tables of spreadsheet programs: commas, semicolons or tabs, UTF-8 or UTF-16, with or without a line `sep=`."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wslpet.core.errors import InputError

SEPARATORS = (",", ";", "\t")
BYTE_ORDER_MARK = "\ufeff"
# Excel's first line that names the separator.
_SEP_LINE = re.compile(r'\A"?sep=(.)"?[ ,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE)
# Text that Excel and LibreOffice take for a formula, with any quotes before it.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Table:
    """A table with a header.

    Parameters
    ----------
    columns : names of the columns, from the header.
    rows : (number of the line, from 1; column → cell, or None if the line ends before it). Empty lines are left out.
    separator : character between the cells.
    """

    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str | None]]]
    separator: str

    def number(self, text: str) -> float:
        """Convert a cell to a number. Raises ValueError if it is not a number.

        A decimal comma is accepted if commas do not separate the cells, as in German, French or Dutch programs.
        """
        text = text.strip()
        if self.separator != "," and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        return float(text)


def parse_table(content: bytes, name: str, needed: Sequence[str], all_columns: Sequence[str]) -> Table:
    """Parse a table.

    Parameters
    ----------
    content : content of its file.
    name : name of the table in error messages.
    needed : columns that it must have.
    all_columns : columns that an error message lists.

    Raises
    ------
    InputError
        if it cannot be read, lacks a column, has no rows, or has a line with more cells than the header.
    """
    try:
        text, separator, skipped = _opened(content, needed)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        lines = [(reader.line_num + skipped, [cell.strip() for cell in cells]) for cells in reader]
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{name} cannot be read as CSV ({error}); save it as comma-separated UTF-8") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    columns = tuple(lines[0][1]) if lines else ()
    if missing := [column for column in needed if column not in columns]:
        raise InputError(
            f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it needs {','.join(all_columns)}"
        )
    if len(lines) == 1:
        raise InputError(f"{name} has no rows; write one for each annotated patient")
    for number, cells in lines[1:]:
        if any(cells[len(columns) :]):
            raise InputError(
                f"row {number} of {name} has {len(cells)} cells, its header {len(columns)}; where a comma separates "
                "cells, write a point before decimals, or quote the cell"
            )
    return Table(columns, [(number, _row(columns, cells)) for number, cells in lines[1:]], separator)


def header_of(content: bytes, needed: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table, from its header; empty where it cannot be read. Parameters as in `parse_table`."""
    try:
        text, separator, _ = _opened(content, needed)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        cells = next((cells for cells in rows if any(cells)), [])
    except (ValueError, TypeError, csv.Error):
        return ()
    return tuple(cell.strip() for cell in cells)


def decimals(number: str, separator: str) -> str:
    """Write a number for a table: with a decimal comma where semicolons separate its cells.

    Excel in German, French and other languages reads and writes tables so; it takes 12.5 for the 12th of May.

    >>> decimals("-12.5", ";"), decimals("-12.5", ",")
    ('-12,5', '-12.5')
    """
    return number.replace(".", ",") if separator == ";" else number


def _opened(content: bytes, needed: Sequence[str]) -> tuple[str, str, int]:
    """Return a table's text after a line `sep=`, its separator, and the number of lines before the text."""
    text = content.decode(_encoding(content))
    sep = _SEP_LINE.match(text)
    if sep is None:
        return text, _separator(text, needed), 0
    return text[sep.end() :], sep[1], 1


def _encoding(content: bytes) -> str:
    """Return the encoding: UTF-16 with a byte-order mark, as Excel's "Unicode text", or UTF-8."""
    return "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _separator(text: str, needed: Sequence[str]) -> str:
    """Return the separator with which the header has most of the needed columns; a comma if it has none."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def made(separator: str) -> int:
        cells = next(csv.reader([header], delimiter=separator), [])
        return len(set(needed) & {cell.strip() for cell in cells})

    return max(SEPARATORS, key=made)


def _row(columns: tuple[str, ...], cells: list[str]) -> dict[str, str | None]:
    return {column: cells[n] if n < len(cells) else None for n, column in enumerate(columns)}


def guarded(text: str) -> str:
    """Guard the text of a CSV cell against formula injection (OWASP).

    A text that a spreadsheet would take for a formula gets a quote before it; `unguarded` removes it.

    >>> guarded("=1+1"), guarded("lung")
    ("'=1+1", 'lung')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Inverse of `guarded`; other text is returned unchanged."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
