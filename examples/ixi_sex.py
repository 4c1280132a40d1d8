"""Classify sex on real brains, beside baselines, through the commands that a user would type."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from clinicadl.data import tensors

HERE = Path(__file__).resolve().parents[1]
DATA = HERE.parent / "shared" / "data" / "ixi-caps-4mm"
SUFFIX = "desc-Brain_res-4x4x4_T1w.nii.gz"


def run(command: str) -> None:
    """Print a command as a user would type it, and run it."""
    print(f"$ {command}", flush=True)
    clinicadl = [sys.executable, "-m", "clinicadl"]
    words = shlex.split(command)
    subprocess.run([*clinicadl, *words[1:]], check=True, stderr=subprocess.DEVNULL)


def refused(data: Path, folder: Path) -> int:
    """Say why an example cannot begin, and return its exit code; 0 where it can."""
    if not data.is_dir():
        print(f"The scans are not here: {data}")
        return 66
    if folder.exists():
        print(f"There is something at {folder}: remove it, or give another --folder")
        return 73
    return 0


def copy_caps(data: Path, folder: Path) -> pd.DataFrame:
    """Copy the scans, and write the table of those whose sex is known."""
    caps = folder / "caps"
    for image in data.glob("subjects/*/*/custom/*.nii.gz"):
        target = caps / image.relative_to(data)
        target.parent.mkdir(parents=True)
        shutil.copyfile(image, target)
    table = pd.read_csv(data / "labels.tsv", sep="\t", dtype=str)
    table = table[table["sex"].isin(["F", "M"])]
    table.to_csv(caps / "labels.tsv", sep="\t", index=False)
    return table


def voxels(caps: Path, table: pd.DataFrame) -> np.ndarray:
    """Return the normalized voxels of each row, one row an image."""
    rows = []
    for row in table.itertuples():
        home = caps / "subjects" / row.participant_id / row.session_id
        tensor = tensors.read(next(home.glob(f"deep*/image_based/custom/*{SUFFIX[:-7]}.pt")))
        rows.append(((tensor - tensor.min()) / (tensor.max() - tensor.min())).numpy().ravel())
    return np.stack(rows)


def ridge() -> Pipeline:
    """Return the baseline: linear, all voxels, its penalty chosen on the training participants."""
    return make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(2, 7, 11)))


def one_seed(folder: Path, seed: int, epochs: int) -> dict[str, float]:
    """Split, train and test with one seed; return the balanced accuracies on the test set."""
    caps, maps = folder / "caps", folder / f"maps-{seed}"
    before = set(caps.glob("split*"))
    run(
        f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test 24 "
        f"--stratify-by sex --seed {seed}"
    )
    split = (set(caps.glob("split*")) - before).pop()
    run(
        f"clinicadl tsvtools split {split}/train.tsv --n_test 20 --stratify-by sex --seed {seed} "
        "--p_age_threshold 0.5"
    )
    run(
        f"clinicadl train classification {caps} ixi {split}/split {maps} --label sex "
        f"--architecture Conv4_FC3 --epochs {epochs} --seed {seed}"
    )
    run(
        f"clinicadl predict {maps} test --caps_directory {caps} "
        f"--participants_tsv {split}/test_baseline.tsv"
    )
    metrics = maps / "split-0/best-loss/test/test_image_level_metrics.tsv"
    found = pd.read_csv(metrics, sep="\t", index_col=0)["BA"].astype(float)
    train, test = (pd.read_csv(split / f"{part}.tsv", sep="\t", dtype=str)
                   for part in ("train", "test_baseline"))  # fmt: skip
    linear = ridge().fit(voxels(caps, train), train["sex"])
    said = linear.predict(voxels(caps, test))
    return {
        "seed": seed,
        "n_test": len(test),
        "Conv4_FC3": found["Values"],
        "low": found["Lower bound CI"],
        "high": found["Upper bound CI"],
        "ridge": balanced_accuracy_score(test["sex"], said),
        "majority": 0.5,
    }


def main() -> int:
    """Run every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="CAPS of the scans")
    parser.add_argument("--folder", type=Path, default=HERE / "ixi", help="where to work")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    if code := refused(arguments.data, arguments.folder):
        return code
    caps = arguments.folder / "caps"
    table = copy_caps(arguments.data, arguments.folder)
    run(f"clinicadl prepare-data image {caps} custom --custom_suffix {SUFFIX} -ej ixi")
    results = [one_seed(arguments.folder, seed, arguments.epochs) for seed in arguments.seeds]
    print("\nBalanced accuracy on participants never seen (95 % interval: low, high)\n")
    print(pd.DataFrame(results).round(3).to_string(index=False))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    said = cross_val_predict(ridge(), voxels(caps, table), table["sex"], cv=folds)
    score = balanced_accuracy_score(table["sex"], said)
    print(f"\nridge on voxels, 5 folds of all {len(table)}: {score:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
