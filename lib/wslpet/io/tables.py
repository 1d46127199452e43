"""Tables as people save them: CSV with commas, semicolons or tabs, in UTF-8 or UTF-16, with or without `sep=`."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wslpet.core.errors import InputError

SEPARATORS = (",", ";", "\t")
# Excel's first line that names the separator.
_SEP_LINE = re.compile(r'\A"?sep=(.)"?[ ,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE)
# What Excel and LibreOffice calculate; quotes before it are ours, or were there.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Table:
    """A table with a header.

    Parameters
    ----------
    columns : as the header names them.
    rows : (line, counted from 1; column → cell, None where the line ends before it). Empty lines are left out.
    separator : between the cells, one of `SEPARATORS`.
    """

    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str | None]]]
    separator: str

    def number(self, text: str) -> float:
        """A cell as a number; raises ValueError when it is none.

        Where cells are not separated by commas, a comma may stand before the decimals, as German, French or Dutch
        programs write it.
        """
        text = text.strip()
        if self.separator != "," and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        return float(text)


def parse_table(content: bytes, name: str, needed: Sequence[str], all_columns: Sequence[str]) -> Table:
    """Read a table.

    Parameters
    ----------
    content : of its file.
    name : what to call it in an error.
    needed : columns that it must have.
    all_columns : columns that it should have, for the error.

    Raises
    ------
    InputError
        when it cannot be read, lacks a column, has no rows, or a line with more cells than the header.
    """
    try:
        text = content.decode(_encoding(content))
        sep = _SEP_LINE.match(text)
        skipped = 0 if sep is None else 1
        text = text if sep is None else text[sep.end() :]
        separator = _separator(text, needed) if sep is None else sep[1]
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


def _encoding(content: bytes) -> str:
    """Excel's "Unicode text" is UTF-16 and says so in its first two bytes."""
    return "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _separator(text: str, needed: Sequence[str]) -> str:
    """That which makes most of the needed columns of the first line that is not empty; a comma where none does."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def made(separator: str) -> int:
        cells = next(csv.reader([header], delimiter=separator), [])
        return len(set(needed) & {cell.strip() for cell in cells})

    return max(SEPARATORS, key=made)


def _row(columns: tuple[str, ...], cells: list[str]) -> dict[str, str | None]:
    return {column: cells[n] if n < len(cells) else None for n, column in enumerate(columns)}


def guarded(text: str) -> str:
    """Guard the text of a CSV cell against formula injection (OWASP).

    A text that a spreadsheet would calculate gets a quote before it; `unguarded` takes it away again.

    >>> guarded("=1+1"), guarded("lung")
    ("'=1+1", 'lung')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Inverse of `guarded`; a text that a person wrote is what it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
