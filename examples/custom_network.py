"""A network of one's own beside one of ours: the same folds, the same people to judge on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from steps import BLUE, GREY, ORANGE, ROOT, STYLE, Estimate, metric, occupied, run, save, table

from clinicadl.layouts import images
from clinicadl.layouts.maps import names

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
PLUGIN = "examples/mirror_network.py"
NETWORKS = {"Conv4_FC3": GREY, "Mirror": BLUE}
"""Network -> its colour."""
N_SPLITS = 3
REGION = "hippocampi"


def write_region(caps: Path) -> None:
    """Write the mask of a region that holds both hippocampi: a box around the middle."""
    home = caps / "masks" / "tpl-MNI152"
    sides = [
        images.read(home / f"tpl-MNI152_res-4x4x4_roi-{side}Hippocampus_mask.nii.gz")
        for side in ("left", "right")
    ]
    both = np.maximum(sides[0].voxels, sides[1].voxels)
    images.write(home / f"tpl-MNI152_res-4x4x4_roi-{REGION}_mask.nii.gz", both,
                 affine=sides[0].affine)  # fmt: skip


def train(folder: Path, *, n_participants: int, n_test: int, epochs: int) -> None:
    """Train both networks on the same folds, look at the test set, and compare them."""
    caps = folder / "caps"
    run(f"python examples/demo/make_caps.py {caps} --n-participants {n_participants} --seed 31")
    run(f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test {n_test}")
    run(f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits {N_SPLITS}")
    write_region(caps)
    run(
        f"clinicadl prepare-data roi {caps} custom --custom_suffix {SUFFIX} -ej both "
        f"--roi_list {REGION} --roi_custom_template MNI152"
    )
    for network in NETWORKS:
        maps = folder / network
        plugin = f" --plugin {PLUGIN}" if network == "Mirror" else ""
        run(
            f"clinicadl train classification {caps} both {caps}/split/{N_SPLITS}_fold {maps} "
            f"--n_splits {N_SPLITS} --split 0 --architecture {network} --epochs {epochs} "
            f"--learning_rate 3e-4{plugin}"
        )
        run(
            f"clinicadl predict {maps} test --caps_directory {caps} "
            f"--participants_tsv {caps}/split/test_baseline.tsv{plugin}"
        )
    maps = " ".join(str(folder / network) for network in NETWORKS)
    run(f"clinicadl compare {maps} --group test --output {folder}/comparison.tsv --plugin {PLUGIN}")
    run(f"clinicadl report {folder}/Mirror --plugin {PLUGIN}")


def draw(folder: Path, found: dict[str, Estimate], path: Path) -> None:
    """Draw how both networks learn, and what they are worth on the test set."""
    with plt.rc_context(STYLE):
        figure, (curves, dots) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
        for network, colour in NETWORKS.items():
            log = table(names.training_log(folder / network, 0))
            curves.plot(log["epoch"], log["loss_train"], color=colour, lw=1, ls=":")
            curves.plot(log["epoch"], log["loss_valid"], color=colour, lw=2.5, label=network)
        curves.axhline(np.log(2), color=ORANGE, ls=":", lw=1)
        curves.set(xlabel="epoch", ylabel="loss", ylim=(0, 1.2), title="Train (dotted), validation")
        curves.legend()
        rows = range(len(found))[::-1]
        for row, (network, value) in zip(rows, found.items(), strict=True):
            dots.plot([value.low, value.high], [row, row], color=NETWORKS[network], lw=3)
            dots.plot(value.value, row, "o", color=NETWORKS[network], ms=8)
            dots.annotate(str(value), (value.value, row), (0, 8), ha="center",
                          textcoords="offset points")  # fmt: skip
        dots.axvline(0.5, color=ORANGE, ls=":")
        dots.set(yticks=rows, yticklabels=found, xlim=(0.3, 1.05), ylim=(-0.5, 1.7))
        dots.set(xlabel="balanced accuracy, with 95 % interval", title="Test set")
        save(figure, path)


def main() -> int:
    """Run every command, print the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "own-network", help="where to work")
    parser.add_argument("--n-participants", type=int, default=110, help="default: %(default)s")
    parser.add_argument("--n-test", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: network.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    folder = given.folder
    train(folder, n_participants=given.n_participants, n_test=given.n_test, epochs=given.epochs)
    homes = {network: names.results(folder / network, 0, "loss", "test") for network in NETWORKS}
    found = {network: metric(names.metrics(home, "image"), "BA") for network, home in homes.items()}
    print(f"\nBalanced accuracy on {given.n_test} people never seen, with 95 % intervals:\n")
    print(*(f"{network}: {value}" for network, value in found.items()), sep="\n")
    draw(folder, found, given.picture or folder / "network.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
