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
from typing import NamedTuple

import make_caps
import pandas as pd

from clinicadl.errors import ClinicaDLError, InvalidDataError, OutputError
from clinicadl.layouts import tsv
from clinicadl.layouts.files import write_text
from clinicadl.layouts.maps import names

MARKER = ".made-by-the-demonstration"
"""Only a folder that holds this file is removed."""
GROUP = "test"
SELECTION = ("loss", "BA")
SHOWN = ("BA", "sensitivity", "specificity", "accuracy")
ROWS = ("Values", "Lower bound CI", "Upper bound CI")


class Size(NamedTuple):
    """How much is done; the commands are the same."""

    n_participants: int
    n_test: int
    n_splits: int
    trained: tuple[int, ...]
    """Splits that are trained."""
    n_epochs: int | None
    """None: as many as each experiment needs to learn."""
    sanity_images: int


WHOLE = Size(120, 24, 5, (0, 1), None, 8)
QUICK = Size(16, 4, 2, (0,), 2, 2)
"""Too small to learn anything: it shows that every command works."""


class Experiment(NamedTuple):
    """What one network gets of each image, and how it is trained."""

    mode: str
    parts: tuple[str, ...]
    """Options that say where the parts lie."""
    n_epochs: int
    training: tuple[str, ...]

    def maps(self, folder: Path) -> Path:
        """Return its MAPS."""
        return folder / "maps" / self.mode

    def preview(self, folder: Path) -> Path:
        """Return the picture of its parts; an image is its own only part and gets none."""
        return folder / f"{self.mode}.png"


EXPERIMENTS = (
    Experiment("image", (), 25, ("--batch_size", "4")),
    Experiment(
        "roi",
        ("--roi_list", *make_caps.REGIONS, "--roi_custom_template", make_caps.TEMPLATE),
        20,
        ("--architecture", "Conv4_FC3", "--batch_size", "8"),
    ),
    Experiment(
        "patch",
        ("--patch_size", "18", "--stride_size", "20"),
        20,
        ("--architecture", "Conv4_FC3", "--batch_size", "32", "--selection_threshold", "0.6"),
    ),
)  # fmt: skip
"""All was chosen on other made-up participants (seeds 0 and 1), on their validation parts."""


def steps(folder: Path, size: Size = WHOLE, *, labels_shuffled: bool = False) -> list[list[str]]:
    """Return the commands, as a user types them."""
    scripts = Path(os.path.relpath(Path(__file__).parent))
    caps = folder / "caps"
    tables = caps / "split"
    image, *others = EXPERIMENTS
    shuffle = ["--shuffle-labels"] if labels_shuffled else []
    commands: list[list[object]] = [
        ["python", scripts / "make_caps.py", caps, "--seed", 2026,
         "--n-participants", size.n_participants, *shuffle],
        ["clinicadl", "tsvtools", "split", caps / "labels.tsv",
         "--subset_name", GROUP, "--n_test", size.n_test],
        ["clinicadl", "tsvtools", "kfold", tables / "train.tsv", "--n_splits", size.n_splits],
        *_steps(image, folder, size),
        ["clinicadl", "interpret", image.maps(folder), GROUP, "atrophy", "gradients",
         "--split", size.trained[0], "--mask", caps / make_caps.mask_path(make_caps.TRUTH),
         "--sanity", "--sanity_images", size.sanity_images, "--save_nifti"],
        ["clinicadl", "report", image.maps(folder)],
        ["python", scripts / "picture.py", caps, image.maps(folder), folder / "demo.png"],
        *(step for other in others
          for step in (*_steps(other, folder, size), ["clinicadl", "report", other.maps(folder)])),
    ]  # fmt: skip
    return [[str(word) for word in command] for command in commands]


def _steps(experiment: Experiment, folder: Path, size: Size) -> list[list[object]]:
    caps, maps, name = folder / "caps", experiment.maps(folder), experiment.mode
    preview = ["clinicadl", "prepare-data", "preview", caps, name, experiment.preview(folder)]
    return [
        ["clinicadl", "prepare-data", name, caps, "custom",
         "--custom_suffix", make_caps.SUFFIX, "--extract_json", name, *experiment.parts],
        *([[*preview, "--n_samples", "2"]] if experiment.parts else []),
        ["clinicadl", "train", "classification", caps, name,
         caps / "split" / f"{size.n_splits}_fold", maps,
         "--n_splits", size.n_splits, "--split", *size.trained, *experiment.training,
         "--epochs", size.n_epochs or experiment.n_epochs,
         "--selection_metrics", *SELECTION, "--seed", "0"],
        ["clinicadl", "predict", maps, GROUP, "--caps_directory", caps,
         "--participants_tsv", caps / "split" / f"{GROUP}_baseline.tsv"],
    ]  # fmt: skip


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


def results(folder: Path) -> pd.DataFrame:
    """Return the metrics of the test set with their 95 % intervals, one row a model.

    Raises
    ------
    InvalidDataError
        A metrics table lacks what it must hold.
    """
    rows = []
    for experiment in EXPERIMENTS:
        maps = experiment.maps(folder)
        for split in names.split_numbers(maps):
            for selection in SELECTION:
                path = names.metrics(names.results(maps, split, selection, GROUP), "image")
                cells = {metric: _with_interval(column) for metric, column in _shown(path).items()}
                rows.append(
                    {"mode": experiment.mode, "split": split, "chosen by": selection, **cells}
                )
    return pd.DataFrame(rows)


def _shown(path: Path) -> dict[str, pd.Series]:
    table = tsv.read(path, "metrics table", needs=["Metrics", *SHOWN]).set_index("Metrics")
    if not set(ROWS) <= set(table.index):
        raise InvalidDataError("The metrics table lacks a row", where=path, found=ROWS)
    return {metric: table[metric] for metric in SHOWN}


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
    parser.add_argument(
        "--quick", action="store_true",
        help="16 participants and two epochs: every command runs, and nothing is learnt",
    )  # fmt: skip
    given = parser.parse_args()
    size = QUICK if given.quick else WHOLE
    began = time.monotonic()
    try:
        start_afresh(given.folder)
        for command in steps(given.folder, size, labels_shuffled=given.shuffle_labels):
            run_step(command)
        print("\nOn participants that no model has seen, with 95 % intervals (chance: BA 0.5):\n")
        print(results(given.folder).to_string(index=False))
    except ClinicaDLError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    said = [("MAPS", experiment.maps(given.folder)) for experiment in EXPERIMENTS]
    said += [
        ("Report", experiment.maps(given.folder) / "report.html") for experiment in EXPERIMENTS
    ]
    said += [("Picture", given.folder / "demo.png")]
    said += [(f"Parts: {one.mode}", one.preview(given.folder)) for one in EXPERIMENTS if one.parts]
    print("\n" + "\n".join(f"{what + ':':<14}{where}" for what, where in said))
    print(f"Done in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
