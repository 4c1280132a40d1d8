"""The examples in the documentation are tests: each page runs in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parent
SUFFIX = "desc-Tiny_T1w.nii.gz"


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


def _console(example: Example) -> None:
    run_path(str(ROOT / "scripts" / "docs_console.py"))["check"](example.parsed)


def table(path: str, *rows: str) -> None:
    """Write a table for an example that needs one: participant, session, diagnosis, age, sex."""
    names = ["participant_id", "session_id", "diagnosis", "age", "sex"]
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    n_columns = len(rows[0].split())
    lines = ["\t".join(names[:n_columns]), *("\t".join(row.split()) for row in rows)]
    target.write_text("\n".join(lines) + "\n")


@cache
def _worked() -> TemporaryDirectory[str]:
    """Return a folder with the tiny CAPS split, prepared and trained on, made once."""
    from clinicadl import (
        KFoldConfig,
        PrepareConfig,
        SplitConfig,
        kfold,
        prepare_data,
        read_experiment,
        split,
        train,
    )  # fmt: skip

    temporary = TemporaryDirectory()
    folder = Path(temporary.name)
    caps = run_path(str(ROOT / "tests" / "conftest.py"))["make_caps"](folder / "caps")
    whom = {"subset_name": "test", "n_test": 4, "ignore_demographics": True}
    split(SplitConfig(data_tsv=caps / "labels.tsv", **whom))
    kfold(KFoldConfig(data_tsv=caps / "split" / "train.tsv", n_splits=2))
    images = {"name": "custom", "custom_suffix": SUFFIX}
    prepare_data(
        PrepareConfig(caps_directory=caps, preprocessing=images, extract_json="t1", n_proc=1)
    )
    words = {
        "data": {
            "caps_directory": caps, "preprocessing_json": "t1",
            "tsv_directory": caps / "split/2_fold",
        },
        "network": {"name": "Conv4_FC3"},
        "optimization": {"epochs": 1},
        "validation": {"n_splits": 2},
        "compute": {"gpu": False, "n_proc": 0},
    }  # fmt: skip
    train(read_experiment(words), folder / "maps")
    return temporary


def worked() -> None:
    """Put a CAPS that was split, prepared and trained on into the folder, and its MAPS."""
    shutil.rmtree("caps")
    shutil.copytree(_worked().name, ".", dirs_exist_ok=True)


def _setup(namespace: dict[str, object]) -> None:
    """Give a page a folder with a small CAPS: ``caps/``, its table, its test set and its folds."""
    namespace["find_spec"] = find_spec  # for pages that say when an example is skipped
    namespace["table"], namespace["worked"] = table, worked
    temporary = TemporaryDirectory()
    namespace["_temporary"], namespace["_folder"] = temporary, temporary.name
    namespace["_before"] = Path.cwd()
    tiny = run_path(str(ROOT / "tests" / "conftest.py"))
    tiny["make_caps"](Path(temporary.name) / "caps")
    os.chdir(temporary.name)


def _teardown(namespace: dict[str, object]) -> None:
    os.chdir(namespace["_before"])
    namespace["_temporary"].cleanup()


def parsers(console: Callable[[Example], None]) -> list[object]:
    """Return what finds the examples of a page, and runs them in their order."""
    return [
        SkipParser(),
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=_bash),
        CodeBlockParser(language="console", evaluator=console),
    ]


pytest_collect_file = Sybil(
    parsers=parsers(_console), patterns=["*.md"], setup=_setup, teardown=_teardown
).pytest()
