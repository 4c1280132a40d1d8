"""What the reader of docstrings must know of ours: a return is said in words alone."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(
    r"(?P<head>^(?P<name>Returns|Yields)\n-+\n)(?P<text>.*?)(?=^[A-Z][a-z]+\n-+\n|\Z)",
    re.MULTILINE | re.DOTALL,
)


class WordsOfReturns(griffe.Extension):
    """Puts the annotation of a function before the words of its return, where numpydoc has it."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Rewrite the docstring of a function that is about to be read."""
        if func.docstring is None or func.returns is None:
            return
        shown = str(func.returns)

        def typed(found: re.Match[str]) -> str:
            words = found["text"].strip().replace("\n", "\n    ")
            return f"{found['head']}{shown}\n    {words}\n\n"

        func.docstring.value = _SECTION.sub(typed, func.docstring.value)
