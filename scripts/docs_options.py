"""Write the tables of options in ``docs/commands``; ``--check`` only compares.

A page holds the options of some commands between two markers, and this is all that it needs::

    <!-- options: tsvtools split -->
    <!-- /options -->

A marker may name several commands, with commas, or a group, which stands for all of its commands
that have no marker of their own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from clinicadl.cli.main import root

PAGES = Path(__file__).resolve().parents[1] / "docs" / "commands"
MARKED = re.compile(r"<!-- options: ([^>]+?) -->\n.*?<!-- /options -->", re.DOTALL)
_DEFAULT = re.compile(r" \(default: (?P<value>.*)\)(?P<bounds>  \[[^\]]*\])?$", re.DOTALL)
_CHOICE = re.compile(r"\[([^\]]*\|[^\]]*)\]")
Name = tuple[str, ...]


class Row(NamedTuple):
    """An option as a page shows it."""

    option: str
    meaning: str
    default: str


def leaves(group: click.Group = root, above: Name = ()) -> Iterator[tuple[Name, click.Command]]:
    """Yield every command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = (*above, name)
        if isinstance(command, click.Group):
            yield from leaves(command, words)
        else:
            yield words, command


def markers(text: str) -> list[tuple[Name, ...]]:
    """Return the commands that each marker of a page names, in their order."""
    return [_named(found.group(1)) for found in MARKED.finditer(text)]


def _named(marker: str) -> tuple[Name, ...]:
    return tuple(tuple(one.replace("_", "-").split()) for one in marker.split(","))


def homes(pages: dict[str, str]) -> dict[Name, tuple[str, int]]:
    """Return the page and the number of the marker that shows each command.

    Raises
    ------
    SystemExit
        A command has no marker, or a marker names no command.
    """
    shown: dict[Name, tuple[str, int]] = {}
    for page, text in pages.items():
        for number, names in enumerate(markers(text)):
            for name in names:
                if name in shown:
                    sys.exit(f"{page}: a second marker for the options of {' '.join(name)}")
                shown[name] = (page, number)
    found: dict[Name, tuple[str, int]] = {}
    for words, _ in leaves():
        near = [words[:n] for n in range(len(words), 0, -1) if words[:n] in shown]
        if not near:
            sys.exit(
                f"No page shows the options of clinicadl {' '.join(words)}. Add the lines\n"
                f"    <!-- options: {' '.join(words)} -->\n    <!-- /options -->\n"
                f"to docs/commands/{words[0]}.md, then run: python scripts/docs_options.py"
            )
        found[words] = shown[near[0]]
    empty = [
        " ".join(name) for name in shown if not any(words[: len(name)] == name for words in found)
    ]
    if empty:
        sys.exit(f"There is no command {', '.join(empty)}: correct the marker in docs/commands")
    return found


def rows(words: Name, command: click.Command) -> list[Row]:
    """Return the options of a command, as ``--help`` says them."""
    context = click.Context(command, info_name=f"clinicadl {' '.join(words)}")
    found = []
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None or not isinstance(param, click.Option) or "--help" in param.opts:
            continue
        flags, text = record
        default = _DEFAULT.search(text)
        bounds = (default.group("bounds") or "") if default else ""
        meaning = (text[: default.start()] + bounds) if default else text
        found.append(
            Row(
                f"`{_CHOICE.sub(_braced, flags)}`",
                _cell(meaning),
                _cell(default.group("value")) if default else "",
            )
        )
    return found


def _braced(choice: re.Match[str]) -> str:
    return f"{{{choice.group(1).replace('|', ',')}}}"


def _cell(text: str) -> str:
    escaped = re.sub(r"([*|\[\]])", r"\\\1", text).replace("<", "&lt;")
    return " ".join(escaped.split())


def table(commands: dict[Name, click.Command]) -> str:
    """Return the options of some commands; a last column says whose, where not all have them."""
    whose: dict[Row, list[Name]] = {}
    for words, command in commands.items():
        for row in rows(words, command):
            whose.setdefault(row, []).append(words)
    if not whose:
        return "This command has no options.\n"
    n_alike = _n_alike([*commands])
    is_shared = all(len(owners) == len(commands) for owners in whose.values())
    head = ["option", "means", "default", *([] if is_shared else ["only of"])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row, owners in whose.items():
        cells = [*row]
        if not is_shared:
            cells.append(_whose(owners, [*commands], n_alike))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _whose(owners: list[Name], everybody: list[Name], n_alike: int) -> str:
    """Return the shortest words that say which commands have an option; nothing for all."""
    if len(owners) == len(everybody):
        return ""
    names = []
    for words in owners:
        group = [one for one in everybody if one[: n_alike + 1] == words[: n_alike + 1]]
        is_whole = all(one in owners for one in group)
        names.append(" ".join(words[n_alike : n_alike + 1] if is_whole else words[n_alike:]))
    return ", ".join(dict.fromkeys(names))


def _n_alike(names: list[Name]) -> int:
    """Return how many words all of the commands begin with."""
    n = 0
    while len({name[: n + 1] for name in names}) == 1 and all(len(name) > n + 1 for name in names):
        n += 1
    return n


def written() -> dict[Path, str]:
    """Return every page as it should be."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    home = homes(pages)
    commands = dict(leaves())
    fresh = {}
    for page, text in pages.items():
        numbers = iter(range(len(markers(text))))

        def renewed(
            found: re.Match[str], page: str = page, numbers: Iterator[int] = numbers
        ) -> str:
            here = (page, next(numbers))
            own = {words: one for words, one in commands.items() if home[words] == here}
            return f"<!-- options: {found.group(1)} -->\n\n{table(own)}\n<!-- /options -->"

        fresh[PAGES / page] = MARKED.sub(renewed, text)
    return fresh


def main() -> int:
    """Rewrite the pages, or say with exit code 1 which of them are out of date."""
    behind = {
        path: text for path, text in written().items() if path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv:
        for path in behind:
            print(f"docs/commands/{path.name} is behind: run python scripts/docs_options.py")
        return int(bool(behind))
    for path, text in behind.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
