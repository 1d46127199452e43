"""Text in CSV cells that no spreadsheet takes for a formula (OWASP: CSV injection)."""

from __future__ import annotations

import re

# What Excel and LibreOffice calculate; quotes before it are ours, or were there.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def guarded(text: str) -> str:
    """The text, with a quote before it where it would be calculated; `unguarded` takes it away again.

    >>> guarded("=1+1"), guarded("lung")
    ("'=1+1", 'lung')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Inverse of `guarded`; a text that a person wrote is what it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
