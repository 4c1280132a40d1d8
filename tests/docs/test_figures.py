"""The ten figures are drawn as their script draws them, and the page says what they show."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from runpy import run_path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "docs_figures.py"
PAGE = (ROOT / "docs" / "concepts" / "leakage-in-ten-figures.md").read_text()
SHOWN = re.findall(r"!\[([^\]]+)\]\(\.\./images/leakage/([\w-]+)\.svg\)", PAGE)
FOLDER = ROOT / "docs" / "images" / "leakage"


def drawn_with() -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith("matplotlib==")).partition("==")[2]


def test_there_are_ten_and_every_one_is_on_the_page():
    assert [int(name.partition("-")[0]) for _, name in SHOWN] == [*range(1, 11)]
    assert {name for _, name in SHOWN} == {path.stem for path in FOLDER.glob("*.svg")}
    assert PAGE.count("**Instead:**") == 10


@pytest.mark.parametrize(("words", "name"), SHOWN, ids=lambda word: word[:12])
def test_the_words_of_a_figure_have_its_numbers(words, name):
    honest, leaking = re.findall(r">(\d\.\d\d)<", (FOLDER / f"{name}.svg").read_text())
    assert re.findall(r"\d\.\d\d", words) == [honest, leaking]
    assert abs(float(honest) - 0.5) < 0.02
    assert float(leaking) > 0.6


def test_numbers_in_the_text_are_measured():
    script = run_path(str(SCRIPT))
    said = script["mean_of"]("scaled", script["scaled"](on_everybody=True))
    assert f"of everybody gave {said:.2f}" in PAGE.replace("\n", " ")
    best = re.search(r"best of 100 tries is at (\d\.\d\d)", PAGE)[1]
    assert f">{best}<" in (FOLDER / "9-best-epoch.svg").read_text()


@pytest.mark.slow
@pytest.mark.skipif(
    version("matplotlib") != drawn_with(), reason="another matplotlib draws other bytes"
)
def test_the_figures_are_those_of_the_script():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
