"""Regions of interest: an autoencoder first, then a network for each region from its weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from steps import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    ROOT,
    STYLE,
    Estimate,
    metric,
    occupied,
    run,
    save,
    table,
)

from clinicadl.data import tensors
from clinicadl.layouts.maps import names

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
REGIONS = ("leftHippocampus", "rightHippocampus")
N_SPLITS = 3
STARTS = {
    "drawn": ("", GREY),
    "autoencoder": ("--transfer_path {ae}", BLUE),
    "autoencoder, kept": ("--transfer_path {ae} --nb_unfrozen_layer 3", ORANGE),
}
"""First weights -> the options that ask for them, and a colour."""


def home_of(folder: Path, start: str) -> Path:
    """Return the MAPS of the classifiers that began so."""
    return folder / start.replace(", ", "-")


def prepare(caps: Path, *, n_participants: int, n_test: int) -> None:
    """Make brains whose hippocampi shrink, set people apart, and describe the regions."""
    run(f"python examples/demo/make_caps.py {caps} --n-participants {n_participants} --seed 11")
    run(f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test {n_test}")
    run(f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits {N_SPLITS}")
    run(
        f"clinicadl prepare-data roi {caps} custom --custom_suffix {SUFFIX} -ej regions "
        f"--roi_list {' '.join(REGIONS)} --roi_custom_template MNI152"
    )


def train(folder: Path, *, epochs: int) -> None:
    """Train the autoencoder, then the classifiers from each start."""
    caps, ae = folder / "caps", folder / "ae"
    folds = f"{caps}/split/{N_SPLITS}_fold"
    test = f"test --caps_directory {caps} --participants_tsv {caps}/split/test_baseline.tsv"
    run(
        f"clinicadl train reconstruction {caps} regions {folds} {ae} --n_splits {N_SPLITS} "
        f"--architecture Autoencoder --autoencoder_of Conv4_FC3 --epochs {2 * epochs} "
        "--learning_rate 1e-3"
    )
    run(f"clinicadl predict {ae} {test} --split 0 --save_tensor")
    for start, (options, _) in STARTS.items():
        maps = home_of(folder, start)
        run(
            f"clinicadl train classification {caps} regions {folds} {maps} --n_splits {N_SPLITS} "
            f"--architecture Conv4_FC3 --multi_network --epochs {epochs} "
            f"--learning_rate 3e-4 {options.format(ae=ae)}".strip()
        )
        run(f"clinicadl predict {maps} {test} --ensemble")
    drawn, kept = home_of(folder, "drawn"), home_of(folder, "autoencoder")
    run(f"clinicadl compare {drawn} {kept} --group test")


def other_folds_are_refused(folder: Path) -> str:
    """Divide the same people otherwise, and return what the guard says of the transfer."""
    caps = folder / "caps"
    run(f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits {N_SPLITS + 1}")
    return run(
        f"clinicadl train classification {caps} regions {caps}/split/{N_SPLITS + 1}_fold "
        f"{folder}/refused --n_splits {N_SPLITS + 1} --split 0 --architecture Conv4_FC3 "
        f"--multi_network --transfer_path {folder}/ae",
        expected=4,
    )


def curve(maps: Path, split: int, network: int) -> pd.DataFrame:
    """Return the training log of one region's network."""
    return table(names.training_log(maps, split, network=network))


def draw(folder: Path, found: dict[str, Estimate], path: Path) -> None:
    """Draw a region as it was given back, how the classifiers learn, and how they end."""
    tensors_home = names.results(folder / "ae", 0, "loss", "test") / "tensors"
    given = sorted(tensors_home.glob("*_input.pt"))[0]
    pair = (given, given.with_name(given.name.replace("_input", "_output")))
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(12, 3.9), layout="constrained")
        axes = figure.subplot_mosaic(
            [["in", "left", "right", "dots"], ["out", "left", "right", "dots"]],
            width_ratios=[0.8, 1.3, 1.3, 1.5],
        )
        for name, one, title in zip(("in", "out"), pair, ("given", "given back"), strict=True):
            voxels = tensors.read(one)[0].numpy()
            axes[name].imshow(voxels[:, voxels.shape[1] // 2].T, cmap="gray", origin="lower",
                              vmin=0, vmax=1)  # fmt: skip
            axes[name].set(xticks=[], yticks=[], title=f"region, {title}")
        for network, (name, region) in enumerate(zip(("left", "right"), REGIONS, strict=True)):
            for start, (_, colour) in STARTS.items():
                logs = [curve(home_of(folder, start), i, network) for i in range(N_SPLITS)]
                for log in logs:
                    axes[name].plot(log["epoch"], log["loss_valid"], color=colour, lw=0.6)
                mean = np.mean([log["loss_valid"] for log in logs], axis=0)
                axes[name].plot(logs[0]["epoch"], mean, color=colour, lw=2.5, label=start)
            axes[name].axhline(np.log(2), color=GREEN, ls=":", lw=1)
            axes[name].set(title=region, xlabel="epoch", ylabel="validation loss", ylim=(0, 1.2))
        axes["right"].legend(title="first weights")
        rows = np.arange(len(found))[::-1]
        for row, (start, value) in zip(rows, found.items(), strict=True):
            colour = STARTS[start][1]
            axes["dots"].plot([value.low, value.high], [row, row], color=colour, lw=3)
            axes["dots"].plot(value.value, row, "o", color=colour, ms=8)
            axes["dots"].annotate(str(value), (value.value, row), (0, 8), ha="center",
                                  textcoords="offset points")  # fmt: skip
        axes["dots"].axvline(0.5, color=GREY, ls=":")
        axes["dots"].set(yticks=rows, yticklabels=found, xlim=(0.4, 1.05))
        axes["dots"].set(xlabel="balanced accuracy", title="Test set, three splits together")
        axes["dots"].set_ylim(-0.6, len(found) - 0.4)
        save(figure, path)


def main() -> int:
    """Run every command, print the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "regions", help="where to work")
    parser.add_argument("--n-participants", type=int, default=90, help="default: %(default)s")
    parser.add_argument("--n-test", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: regions.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    folder = given.folder
    prepare(folder / "caps", n_participants=given.n_participants, n_test=given.n_test)
    train(folder, epochs=given.epochs)
    other_folds_are_refused(folder)
    homes = {start: names.results(home_of(folder, start), None, "loss", "test") for start in STARTS}
    of_image = {start: metric(names.metrics(home, "image"), "BA") for start, home in homes.items()}
    error = metric(names.metrics(names.results(folder / "ae", 0, "loss", "test"), "roi"), "MAE")
    print(f"\nautoencoder, split 0, mean absolute error of intensities in [0, 1]: {error}")
    print("\nBalanced accuracy on people never seen, three splits together, 95 % intervals:\n")
    print(*(f"{start}: {value}" for start, value in of_image.items()), sep="\n")
    draw(folder, of_image, given.picture or folder / "regions.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
