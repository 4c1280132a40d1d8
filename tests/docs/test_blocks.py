"""Every block of code is run, or held against what it is about."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from runpy import run_path

import click
import pytest

from clinicadl import read_experiment
from clinicadl.cli.main import root

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = run_path(str(ROOT / "scripts" / "docs_options.py"))
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src").rglob("explanations/*.md")),
    ROOT / "README.md",
]
RUN = {"bash", "python", "console"}
"""Run in the order of the page, in a folder of its own (conftest.py)."""

_BLOCK = re.compile(r"^(?P<fence>```+)(?P<kind>\w*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
_COMMAND = re.compile(r"^(?:\$ )?(clinicadl .*?)(?<!\\)$", re.MULTILINE | re.DOTALL)
ANYWHERE = {flag for param in root.params for flag in (*param.opts, *param.secondary_opts)}


def blocks(kind: str) -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), found["text"])
        for page in PAGES
        for found in _BLOCK.finditer(page.read_text())
        if found["kind"] == kind
    ]


def flags_of(command: click.Command) -> set[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = [command.get_command(context, name) for name in command.list_commands(context)]
        return set().union(*map(flags_of, below))
    return {
        flag.replace("_", "-")
        for param in command.params
        for flag in (*param.opts, *param.secondary_opts)
    } | {"-h", "--help"}


def unknown(line: str) -> list[str]:
    """Return the words of a command line that the commands do not know."""
    words = [word for word in re.split(r"[\s\[\]|]+", line.replace("\\\n", " ")) if word]
    command: click.Command = root
    for word in words[1:]:
        if not isinstance(command, click.Group) or word.startswith(("-", "{")) or word.isupper():
            break
        found = command.get_command(click.Context(command), word.replace("_", "-"))
        if found is None:
            return [word]
        command = found
    known = flags_of(command) | ANYWHERE
    given = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("-")]
    return [flag for flag in given if re.fullmatch(r"--?[a-z][\w-]*", flag) and flag not in known]


def test_every_block_is_of_a_kind_that_is_run_or_checked():
    for page in PAGES:
        kinds = {found["kind"] for found in _BLOCK.finditer(page.read_text())}
        assert kinds <= RUN | {"text", "toml"}, page
        assert len(re.findall(r"^```", page.read_text(), re.M)) % 2 == 0


@pytest.mark.parametrize(("page", "text"), blocks("text"), ids=lambda word: word[:40])
def test_commands_that_are_only_shown_exist_with_their_options(page, text):
    for line in _COMMAND.findall(text):
        assert unknown(line) == [], (page, line)


def test_a_command_or_an_option_that_does_not_exist_is_found():
    assert unknown("clinicadl trane classification") == ["trane"]
    assert unknown("clinicadl tsvtools split X --n_tets 4") == ["--n-tets"]
    assert unknown("clinicadl tsvtools split X --n_test 4 -q") == []
    assert unknown("clinicadl train {image,patch} CAPS --epochs 3 \\\n --no-such") == ["--no-such"]


@pytest.mark.parametrize(("page", "text"), blocks("toml"), ids=lambda word: word[:40])
def test_toml_is_read_by_our_reader(page, text, tmp_path):
    assert tomllib.loads(text), page
    if "plugin" in text or "entry-points" in text or "custom" in page:
        return  # of a package, or of a task that the page itself adds
    needed = {
        "data": {"caps_directory": "caps", "preprocessing_json": "t1", "tsv_directory": "tables"}
    }
    (tmp_path / "experiment.toml").write_text(text)
    assert read_experiment(needed, file=tmp_path / "experiment.toml")


def test_every_command_of_the_page_for_those_who_come_from_1_x_exists():
    page = (ROOT / "docs" / "from-1.x.md").read_text()
    table = page.partition("## Command by command")[2].partition("\nNew: ")
    rows = [line.split(" | ") for line in table[0].splitlines() if line.startswith("| `")]
    assert len(rows) >= 20
    known = {" ".join(words) for words, _ in OPTIONS["leaves"]()}
    for row in rows:
        for command in re.findall(r"`([^`]+)`", row[1]):
            name = shlex.split(command.replace("_", "-"))
            name[0] = root.aliases.get(name[0], name[0])
            assert " ".join(name) in known, command
    flags = flags_of(root)
    for flag in re.findall(r"`[^`]*?(--[a-z][\w-]+)", page):
        if flag != "--skip_leak_check":  # which is gone, as the page says
            assert flag.replace("_", "-") in flags, flag


def test_every_published_command_is_on_that_page():
    page = (ROOT / "docs" / "from-1.x.md").read_text()
    for name in (
        "get-labels", "getlabels", "split", "kfold", "prepare-experiment", "get-progression",
        "get-metadata", "analysis", "adapt", "restrict", "prepare-data", "prepare-data-from-bids",
        "trivial", "random", "shepplogan", "hypometabolic", "artifacts", "classification",
        "regression", "reconstruction", "from_json", "resume", "list_models", "predict",
        "interpret", "t1-linear", "t1-volume", "pet-linear",
    ):  # fmt: skip
        assert name in page.partition("## Command by command")[2], name
