"""The examples in the documentation are tests: each page runs in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parent


def _bash(example: Example) -> None:
    commands = Path(sys.executable).parent
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        cwd=example.namespace["_folder"],
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr


def _setup(namespace: dict[str, object]) -> None:
    """Give a page a folder with a small CAPS: ``caps/``, its table, its test set and its folds."""
    namespace["find_spec"] = find_spec  # for pages that say when an example is skipped
    temporary = TemporaryDirectory()
    namespace["_temporary"], namespace["_folder"] = temporary, temporary.name
    namespace["_before"] = Path.cwd()
    tiny = run_path(str(ROOT / "tests" / "conftest.py"))
    tiny["make_caps"](Path(temporary.name) / "caps")
    os.chdir(temporary.name)


def _teardown(namespace: dict[str, object]) -> None:
    os.chdir(namespace["_before"])
    namespace["_temporary"].cleanup()


pytest_collect_file = Sybil(
    parsers=[
        SkipParser(),
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=_bash),
    ],
    patterns=["*.md"],
    setup=_setup,
    teardown=_teardown,
).pytest()
