"""What the structure promises and imports alone cannot show."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "clinicadl").rglob("*.py"))
HEAVY = {"torch", "numpy", "pandas", "scipy", "nibabel", "matplotlib"}

MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS, MAX_METHODS = 600, 60, 8, 20


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text())


def test_the_sources_are_found():
    assert len(SOURCES) > 30


def test_no_file_is_too_long():
    long = {str(path): n for path in SOURCES if (n := path.read_text().count("\n")) > MAX_FILE}
    assert not long


def test_no_function_is_too_long_or_takes_too_much():
    guilty = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            n_lines = (node.end_lineno or 0) - node.lineno + 1
            arguments = node.args
            n_parameters = sum(
                len(some) for some in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)
            ) - (bool(arguments.args) and arguments.args[0].arg in ("self", "cls"))
            if n_lines > MAX_FUNCTION or n_parameters > MAX_PARAMETERS:
                guilty.append((path.name, node.name, n_lines, n_parameters))
    assert not guilty


def test_no_class_has_too_many_methods():
    guilty = [
        (path.name, node.name)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and sum(isinstance(item, ast.FunctionDef) for item in node.body) > MAX_METHODS
    ]
    assert not guilty


def test_package_files_hold_a_docstring_and_nothing_else():
    guilty = [
        str(path)
        for path, tree in trees()
        if path.name == "__init__.py" and path.parent.name != "clinicadl" and len(tree.body) != 1
    ]
    assert not guilty


@pytest.mark.parametrize(
    ("words", "home"),
    [
        (("maps.json", "train+validation", "training_logs", 'safetensors"'), "layouts/maps"),
        (("deeplearning_prepare_data", "tensor_extraction"), "layouts/caps.py"),
    ],
)
def test_names_on_disk_are_known_in_one_place(words, home):
    # Text that is shown to a person (help, docstrings, messages) may name a file; code may not.
    guilty = [
        (path.name, node.value)
        for path, tree in trees()
        if home not in path.as_posix() and "cli" not in path.parts
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in words
        if node.value.strip("/") == word
    ]
    assert not guilty


def commands() -> list[tuple[str, ...]]:
    from clinicadl.cli.lazy import LazyGroup
    from clinicadl.cli.main import root

    found: list[tuple[str, ...]] = [()]
    for name in root.rows:
        command = root.get_command(None, name)
        found.append((name,))
        if isinstance(command, LazyGroup):
            found += [(name, below) for below in command.rows]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\n"
        "from clinicadl.cli.main import run\n"
        "try:\n"
        f"    run([*{list(command)!r}, '--help'])\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0, done.code\n"
        f"print('HEAVY', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in said.stdout
    assert "HEAVY []" in said.stdout


def test_every_late_link_of_a_setting_leads_somewhere():
    from importlib import import_module

    from clinicadl.config import (
        attributions,
        mode,
        network,
        preprocessing,
        task,
        tracking,
        transforms,
    )

    tables = (
        network.NETWORKS, task.TASKS, preprocessing.PREPROCESSINGS, mode.MODES,
        transforms.NORMALIZATIONS, transforms.AUGMENTATIONS, tracking.TRACKERS,
        attributions.ATTRIBUTIONS,
    )  # fmt: skip
    linked = [row.builds for rows in tables for row in rows.values() if hasattr(row, "builds")]
    linked += [row.needs for row in attributions.ATTRIBUTIONS.values() if row.needs is not None]
    linked += [row.starts for row in network.NETWORKS.values() if row.starts is not None]
    assert linked
    for link in linked:
        module, _, name = link.partition(":")
        assert callable(getattr(import_module(module), name))


def test_every_public_name_can_be_imported():
    import clinicadl

    assert clinicadl.__all__
    for name in clinicadl.__all__:
        assert getattr(clinicadl, name) is not None


def test_the_project_speaks_of_itself_alone():
    # Built from pieces, so that this file does not hold what it forbids.
    machine = r"(?<![\w.])/" + "(work|root|tmp|home)/"
    said = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = [ROOT / name for name in said if Path(name).suffix in (".py", ".md", ".toml", ".yml")]
    guilty = [str(path) for path in texts if path.exists() and re.search(machine, path.read_text())]
    assert not guilty
