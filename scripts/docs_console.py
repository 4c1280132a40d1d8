"""Play the ``console`` blocks of Markdown: what a page shows of a command is what it says.

A block is lines ``$ command``, each followed by what it says; a line ``…`` stands for any lines,
and ``…`` in a line for any words. ``$ echo $?`` shows the exit code of the command before. With
pages as arguments, what they show is written anew, except where they leave something out.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from runpy import run_path
from typing import NamedTuple

ANY = "…"
ROOT = Path(__file__).resolve().parents[1]


class Step(NamedTuple):
    """A command and what a page shows of it."""

    command: str
    shown: str


def steps(block: str) -> Iterator[Step]:
    """Yield the commands of a block with the lines below each."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not parts[0].strip(), "a console block begins with a command"
    for part in parts[1:]:
        lines = part.rstrip("\n").split("\n")
        n = next(i for i, line in enumerate(lines, 1) if not line.endswith("\\"))
        yield Step("\n".join(lines[:n]), "\n".join(lines[n:]))


def said(command: str, state: dict[str, int]) -> str:
    """Return what a command says; those of ClinicaDL run in this process."""
    if command == "echo $?":
        return str(state.get("code", 0))
    words = shlex.split(command.replace("\\\n", " "))
    if words[0] == "clinicadl" and not {"|", ">", "&&"} & {*words}:
        from clinicadl.cli.main import run

        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            try:
                run(words[1:])
            except SystemExit as done:
                state["code"] = int(done.code or 0)
        return out.getvalue().rstrip("\n")
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    state["code"] = done.returncode
    return (done.stdout + done.stderr).rstrip("\n")


def is_shown(found: str, shown: str) -> bool:
    """Return whether a page shows what was said, up to the lines that it leaves out."""
    pattern = r"\n".join(
        r"(?:.*(?:\n.*)*)" if line == ANY else re.escape(line).replace(ANY, ".*")
        for line in shown.split("\n")
    )
    return re.fullmatch(pattern, found) is not None


def check(block: str) -> None:
    """Play a block and compare."""
    state: dict[str, int] = {}
    for step in steps(block):
        found = said(step.command, state)
        assert is_shown(found, step.shown), (
            f"$ {step.command}\nsays\n{found}\nand the page shows\n{step.shown}\n"
            "(python scripts/docs_console.py PAGE writes it anew)"
        )


def anew(block: str) -> str:
    """Return a block with what is said now, except where its page leaves lines out."""
    state: dict[str, int] = {}
    lines = []
    for step in steps(block):
        found = said(step.command, state).replace(str(Path.cwd()), ANY)
        keeps = ANY in step.shown and is_shown(found, step.shown)
        lines += [f"$ {step.command}", *([step.shown] if keeps else [found] if found else [])]
    return "\n".join(lines) + "\n"


def rewrite(page: Path) -> None:
    """Write what the console blocks of a page show anew, from the commands in their order."""
    from sybil.document import Document

    shared = run_path(str(ROOT / "conftest.py"))
    fresh: list[tuple[int, int, str]] = []

    def renewed(example: object) -> None:
        block = str(example.parsed)  # type: ignore[attr-defined]
        fresh.append((example.region.start, example.region.end, anew(block)))  # type: ignore[attr-defined]

    text = page.read_text(encoding="utf-8")
    document = Document.parse(str(page), *shared["parsers"](renewed))
    shared["_setup"](document.namespace)
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        shared["_teardown"](document.namespace)
    for start, end, block in reversed(fresh):
        text = f"{text[:start]}```console\n{block}```{text[end:]}"
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in [Path(word).resolve() for word in sys.argv[1:]]:
        rewrite(name)
