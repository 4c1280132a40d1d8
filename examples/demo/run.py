"""The demonstration: from a brain image to a tested classifier, each command as a user types it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import make_caps
import pandas as pd

from clinicadl.errors import ClinicaDLError, InvalidDataError, OutputError
from clinicadl.layouts import tsv
from clinicadl.layouts.files import write_text
from clinicadl.layouts.maps import names

MARKER = ".made-by-the-demonstration"
"""Only a folder that holds this file is removed."""
GROUP = "test"
N_TEST = "24"
N_SPLITS = "5"
TRAINED = ("0", "1")
SELECTION = ("loss", "BA")
SHOWN = ("BA", "sensitivity", "specificity", "accuracy")
ROWS = ("Values", "Lower bound CI", "Upper bound CI")


def steps(folder: Path, *, labels_shuffled: bool = False) -> list[list[str]]:
    """Return the commands, as a user types them."""
    scripts = Path(os.path.relpath(Path(__file__).parent))
    caps, maps = folder / "caps", folder / "maps"
    tables = caps / "split"
    shuffle = ["--shuffle-labels"] if labels_shuffled else []
    commands: list[list[object]] = [
        ["python", scripts / "make_caps.py", caps, "--seed", "2026", *shuffle],
        ["clinicadl", "tsvtools", "split", caps / "labels.tsv",
         "--subset_name", GROUP, "--n_test", N_TEST],
        ["clinicadl", "tsvtools", "kfold", tables / "train.tsv", "--n_splits", N_SPLITS],
        ["clinicadl", "prepare-data", "image", caps, "custom",
         "--custom_suffix", make_caps.SUFFIX, "--extract_json", "demo"],
        ["clinicadl", "train", "classification",
         caps, "demo", tables / f"{N_SPLITS}_fold", maps,
         "--n_splits", N_SPLITS, "--split", *TRAINED, "--batch_size", "4", "--epochs", "25",
         "--selection_metrics", *SELECTION, "--seed", "0"],
        ["clinicadl", "predict", maps, GROUP, "--caps_directory", caps,
         "--participants_tsv", tables / f"{GROUP}_baseline.tsv"],
        ["python", scripts / "picture.py", caps, maps, folder / "demo.png"],
    ]  # fmt: skip
    return [[str(word) for word in command] for command in commands]


def run_step(command: list[str]) -> None:
    """Print a command and run it with this very Python.

    Raises
    ------
    SystemExit
        It failed; with its exit code.
    """
    print(f"\n$ {shlex.join(command)}", flush=True)
    program = [sys.executable] if command[0] == "python" else [sys.executable, "-m", command[0]]
    code = subprocess.run([*program, *command[1:]], check=False).returncode
    if code:
        print(f"\nThe demonstration stops here: exit code {code}.", file=sys.stderr)
        sys.exit(code)


def start_afresh(folder: Path) -> None:
    """Make an empty folder, in place of one that an earlier demonstration made.

    Raises
    ------
    OutputError
        There is something that no demonstration made.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError("This is no folder", where=folder, fix="Choose another with --folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise OutputError(
                "The folder holds something that the demonstration did not make",
                where=folder,
                fix="Choose another with --folder: nothing was changed",
            )
        shutil.rmtree(folder)
    write_text(folder / MARKER, "A new demonstration in this folder removes it first.\n")


def results(maps: Path) -> pd.DataFrame:
    """Return the metrics of the test set with their 95 % intervals, one row a model.

    Raises
    ------
    InvalidDataError
        A metrics table lacks what it must hold.
    """
    rows = []
    for split in names.split_numbers(maps):
        for selection in SELECTION:
            path = names.metrics(names.results(maps, split, selection, GROUP), "image")
            table = tsv.read(path, "metrics table", needs=["Metrics", *SHOWN]).set_index("Metrics")
            if not set(ROWS) <= set(table.index):
                raise InvalidDataError("The metrics table lacks a row", where=path, found=ROWS)
            cells = {metric: _with_interval(table[metric]) for metric in SHOWN}
            rows.append({"split": split, "chosen by": selection, **cells})
    return pd.DataFrame(rows)


def _with_interval(column: pd.Series) -> str:
    value, low, high = (float(column[row]) for row in ROWS)
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("demo"), help="made anew each time (default: demo)"
    )
    parser.add_argument(
        "--shuffle-labels", action="store_true", help="give the diagnoses to other participants"
    )
    given = parser.parse_args()
    began = time.monotonic()
    try:
        start_afresh(given.folder)
        for command in steps(given.folder, labels_shuffled=given.shuffle_labels):
            run_step(command)
        print("\nOn participants that no model has seen, with 95 % intervals (chance: BA 0.5):\n")
        print(results(given.folder / "maps").to_string(index=False))
    except ClinicaDLError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"\nMAPS:    {given.folder / 'maps'}\nPicture: {given.folder / 'demo.png'}")
    print(f"Done in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
