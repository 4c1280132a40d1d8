"""A page a command: its options as the command has them, and the same order everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest

from clinicadl.cli.main import COMMANDS
from clinicadl.explanations.pages import pages

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "docs_options.py"
OPTIONS = run_path(str(SCRIPT))
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs/commands").glob("*.md"))}


def test_the_options_of_every_page_are_those_of_its_commands():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_is_shown_once():
    homes = OPTIONS["homes"](PAGES)
    assert {words[0] for words in homes} == {*COMMANDS}
    assert {*homes} == {words for words, _ in OPTIONS["leaves"]()}


def test_a_page_without_its_marker_is_told_what_to_do():
    without = {**PAGES, "report.md": PAGES["report.md"].replace("<!-- options: report -->", "")}
    with pytest.raises(SystemExit, match="clinicadl report") as told:
        OPTIONS["homes"](without)
    assert "<!-- options: report -->" in str(told.value)
    assert "python scripts/docs_options.py" in str(told.value)
    unknown = {**PAGES, "report.md": PAGES["report.md"].replace("options: report", "options: x")}
    with pytest.raises(SystemExit, match="clinicadl report"):
        OPTIONS["homes"](unknown)
    twice = {**PAGES, "two.md": PAGES["report.md"]}
    with pytest.raises(SystemExit, match="second marker"):
        OPTIONS["homes"](twice)


def test_an_option_stands_on_its_page_with_meaning_and_default():
    table = PAGES["tsvtools.md"].partition("<!-- options: tsvtools kfold -->")[2]
    assert re.search(r"^\| `--n-splits INTEGER RANGE` \| .*folds.* \| 5 \|$", table, re.M)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_the_same_order(name):
    text = PAGES[name]
    title, first = text.split("\n\n")[:2]
    assert title.startswith("# ")
    assert not first.startswith("#")
    assert "clinicadl " in text.partition("## An example")[0], "the command comes first"
    places = [text.find(f"\n## {word}") for word in ("An example", "Errors")]
    assert -1 < places[0] < text.find("\n<!-- options: ") < places[1]
    assert re.search(r"^## (What is written|What is shown|Is the map right)", text, re.M) or (
        "written" in text
    )
    assert "\n## " not in text[places[1] + 1 :], "errors come last"
    runnable = text.partition("\n## An example")[2].partition("\n<!-- options: ")[0]
    assert re.search(r"^```(bash|console)$", runnable, re.M)


@pytest.mark.parametrize("name", PAGES)
def test_the_errors_of_a_page_lead_to_their_explanations(name):
    errors = PAGES[name].partition("\n## Errors\n")[2]
    codes = re.findall(r"^\| \[([a-z-]+)\]\(\.\./explanations/([a-z-]+)\.md\) \|", errors, re.M)
    assert codes
    for shown, linked in codes:
        assert shown == linked
        assert shown in pages()
