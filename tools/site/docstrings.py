"""A griffe extension: our docstrings' `name : sentence` as numpydoc's name and description.

numpydoc puts the type after the colon. Ours stands in the signature, so the sentence follows at once; without this,
the site would show it as the type.
"""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

import griffe

_SECTION = re.compile(r"(?m)^(Parameters|Attributes)\n-+\n(?P<body>(?:.+\n?|\n(?=[^\n]+ : ))*)")
_ENTRY = re.compile(r"(?m)^(\w[\w, ]*) : (.+)$")
_RETURNS = re.compile(r"(?m)^(Returns\n-+\n)((?:.+(?:\n|\Z))+)")


class ParameterSentences(griffe.Extension):
    """Puts the sentences about parameters and about what is returned where numpydoc has descriptions."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        text = _SECTION.sub(lambda section: _ENTRY.sub(r"\1\n    \2", section.group(0)), obj.docstring.value)
        if isinstance(obj, griffe.Function) and obj.returns is not None:
            kind = str(obj.returns)
            text = _RETURNS.sub(lambda section: f"{section[1]}{kind}\n{indent(section[2], '    ')}", text)
        obj.docstring.value = text
