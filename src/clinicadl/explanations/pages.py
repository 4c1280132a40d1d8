"""The pages of ``clinicadl explain``."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

from clinicadl.config.names import nearest
from clinicadl.errors import INTERRUPTED, ClinicaDLError, UsageError, listed

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_HIDDEN = re.compile(r"<!--.*?-->\n\n", re.DOTALL)
"""What makes the files of an example, for the test that plays it."""

_FENCE = "```"


class Page(NamedTuple):
    """One page, as it was written."""

    code: str
    text: str
    """Markdown, with the code as its title."""

    @property
    def meaning(self) -> str:
        """Return the sentence below the title."""
        return self.text.split("\n\n")[1].replace("\n", " ")


def pages() -> dict[str, Page]:
    """Return every page by its code, in the order of the alphabet."""
    folder = files("clinicadl") / "explanations"
    found = sorted(one.name for one in folder.iterdir() if one.name.endswith(".md"))
    codes = [name.removesuffix(".md") for name in found]
    return {code: Page(code, (folder / f"{code}.md").read_text("utf-8")) for code in codes}


def codes_of_exits() -> dict[int, str]:
    """Return the code of the page of every exit code.

    Examples
    --------
    >>> codes_of_exits()[4]
    'leakage'
    """
    kinds: list[type[ClinicaDLError]] = [ClinicaDLError, *ClinicaDLError.__subclasses__()]
    return {0: "done", **{kind.exit_code: kind.code for kind in kinds}, INTERRUPTED: "interrupted"}


def explain(code: str) -> str:
    """Return what an error, an exit code or a finding of the guard means.

    Parameters
    ----------
    code
        A word, as it stands behind ``More: clinicadl explain``; an exit code; or ``list``.

    Returns
    -------
    Text for a terminal; of ``list`` a line a page.

    Raises
    ------
    UsageError
        There is no such page.

    Examples
    --------
    >>> explain("4") == explain("leakage")
    True
    """
    known = pages()
    if code == "list":
        return _listing(known)
    exits = codes_of_exits()
    name = exits.get(int(code), code) if code.isdecimal() else code.lower().replace("_", "-")
    if name not in known:
        close = listed(exits) if code.isdecimal() else listed(nearest(name, known))
        what = "Exit codes are" if code.isdecimal() else "The nearest is"
        raise UsageError(
            "There is no explanation of this",
            found=code,
            fix=f"{what} {close}; clinicadl explain list shows all",
        )
    return _plain(known[name].text)


def _listing(known: dict[str, Page]) -> str:
    width = max(map(len, known))
    return "\n".join(f"{page.code:{width}}  {page.meaning}" for page in known.values())


def _plain(text: str) -> str:
    """Return Markdown as it is read on a terminal: links as their words, examples indented."""
    lines: list[str] = []
    is_example = False
    for line in _LINK.sub(r"\1", _HIDDEN.sub("", text)).strip().split("\n"):
        if line.startswith(_FENCE):
            is_example = not is_example
        else:
            lines.append(f"    {line}" if is_example and line else line)
    return "\n".join(lines)
