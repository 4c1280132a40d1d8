"""Draw docs/images/gui.png: the form with a filled-in experiment, as Chromium shows it.

Needs Chromium, node and npm: ``python scripts/screenshots_gui.py [FOLDER]``, which is docs/images.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from clinicadl import (
    GuiConfig,
    KFoldConfig,
    SheppLoganConfig,
    generate_shepplogan,
    kfold,
    open_form,
)
from clinicadl.draws import generator

ROOT = Path(__file__).resolve().parents[1]
PLAYWRIGHT = "playwright-core@1.65.1"
TOML = """
[data]
caps_directory = "caps"
preprocessing_json = "phantoms"
tsv_directory = "tables/3_fold"

[validation]
n_splits = 3

[optimization]
epochs = 50
patience = 10
"""


def prepare() -> None:
    """Write a CAPS of phantoms with ages and sexes, three folds of it, and an experiment."""
    generate_shepplogan(
        SheppLoganConfig(
            generated_caps_directory="caps", n_subjects=40, image_size=96, extract_json="phantoms"
        )
    )
    (data,) = Path("caps").glob("*.tsv")
    table = pd.read_csv(data, sep="\t")
    draw = generator(0, "screenshot")
    table["age"] = draw.normal(71, 7, len(table)).round(1)
    table["sex"] = draw.choice(["F", "M"], len(table))
    Path("tables").mkdir()
    table.to_csv("tables/labels.tsv", sep="\t", index=False)
    kfold(KFoldConfig(data_tsv="tables/labels.tsv", n_splits=3))
    Path("experiment.toml").write_text(TOML)


def steps(folder: Path) -> list[dict[str, Any]]:
    """Return what is done in the browser."""
    return [
        {"do": "click", "at": "#network summary"},
        {"do": "wait", "at": "#network-shown", "text": "parameters"},
        {"do": "settled"},
        {"do": "click", "at": "#splits summary"},
        {"do": "click", "at": "#look-splits"},
        {"do": "wait", "at": "#splits-shown", "text": "Split 2"},
        {"do": "run", "code": "document.activeElement.blur(); scrollTo(0, 0)"},
        {"do": "shot", "file": str(folder / "gui.png")},
    ]


def main() -> None:
    """Draw the picture."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "images").resolve()
    chromium = next(found for name in ("chromium", "chromium-browser", "google-chrome")
                    if (found := shutil.which(name)))  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--prefix", home, PLAYWRIGHT], check=True
        )
        os.chdir(home)
        prepare()
        with open_form(GuiConfig(experiment_toml="experiment.toml", browser=False)) as address:
            asked = {"url": address, "modules": home, "chromium": chromium, "steps": steps(folder)}
            said = subprocess.run(
                ["node", ROOT / "tests" / "gui" / "drive.mjs"], input=json.dumps(asked), text=True,
                capture_output=True, check=True,
            )  # fmt: skip
        seen = json.loads(said.stdout)
        os.chdir(ROOT)
    assert "error" not in seen, seen
    assert not seen["console"], seen["console"]
    print(f"drawn in {folder}")


if __name__ == "__main__":
    main()
