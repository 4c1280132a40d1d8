"""Make the pictures of docs/pipeline.md: real commands on the made-up participants of the demo.

The brain is the MNI152 template that nilearn ships. Pages are drawn by a Chromium, if there is one.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images" / "pipeline"
SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
REGIONS = "leftHippocampus rightHippocampus"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

STEPS = f"""
tsvtools split caps/labels.tsv --subset_name test --n_test 24
tsvtools kfold caps/split/train.tsv --n_splits 5
prepare-data patch caps custom -cn {SUFFIX} -ej patches --patch_size 18 --stride_size 20 -q
prepare-data preview caps patches preview.png --n_samples 2 --data_augmentation Noise
prepare-data roi caps custom -cn {SUFFIX} -ej regions -ct MNI152 --roi_list {REGIONS}
train classification caps regions caps/split/5_fold maps --n_splits 5 --split 0 -a Conv4_FC3 \
--batch_size 8 --epochs 15 --no-gpu
predict maps test --caps_directory caps --participants_tsv caps/split/test_baseline.tsv --no-gpu
interpret maps test where gradients --no-gpu
report maps --output report.html
"""

SHOTS = {
    "report-flow": ("#flow .flow", (1000, 860)),
    "report-results": ("#results", (1000, 480)),
    "report-curves": ("#figures figure:first-of-type", (1000, 320)),
    "report-map": ("#brains h3, #brains h3 + figure", (1000, 470)),
}
"""Name -> what of the report is shown, and width and height of its picture in pixels."""


def run(folder: Path) -> None:
    """Run the commands in a folder, as a user types them."""
    maker = ROOT / "examples" / "demo" / "make_caps.py"
    subprocess.run([sys.executable, maker, "caps", "--seed", "2026"], cwd=folder, check=True)
    for line in STEPS.strip().splitlines():
        command = [sys.executable, "-m", "clinicadl", *shlex.split(line)]
        print("clinicadl", line, flush=True)
        subprocess.run(command, cwd=folder, check=True)


def shoot(page: Path, name: str, shown: str, size: tuple[int, int], browser: str) -> None:
    """Draw a part of a page into a PNG."""
    wanted = f":is({shown})"
    only = (
        f"<style>body *:not({wanted}, {wanted} *, :has({wanted})) {{display: none}}</style></head>"
    )
    part_text = page.read_text(encoding="utf-8").replace("</head>", only)
    part = page.with_name(f"{name}.html")
    part.write_text(part_text, encoding="utf-8")
    width, height = size
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
            f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},{height}",
            f"--screenshot={IMAGES / name}.png", part.as_uri(),
        ],
        check=True, capture_output=True,
    )  # fmt: skip


def main() -> None:
    """Run the pipeline, and keep its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the commands work; made if absent")
    parser.add_argument("--again", action="store_true", help="draw only: the commands have run")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    if not given.again:
        run(given.folder)
    shutil.copy(given.folder / "preview.png", IMAGES / "preview.png")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("There is no Chromium: the pictures of the report stay as they were")
    for name, (shown, size) in SHOTS.items():
        shoot((given.folder / "report.html").resolve(), name, shown, size, browser)


if __name__ == "__main__":
    main()
