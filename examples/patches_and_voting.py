"""A network for each patch, the vote of the patches, and where on the brain they know something."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from steps import BLUE, GREY, ORANGE, ROOT, STYLE, Estimate, estimate, occupied, run, save, table

from clinicadl.config.mode import PatchMode
from clinicadl.data import parts
from clinicadl.layouts import images
from clinicadl.layouts.maps import names
from clinicadl.tasks import vote

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
TRUTH = "masks/tpl-MNI152/tpl-MNI152_res-4x4x4_roi-hippocampusAtrophy_mask.nii.gz"
SIZE = 14
THRESHOLD = 0.7
PART = "patch_id"
Values = NDArray[np.float64]


def train(folder: Path, *, n_participants: int, n_test: int, epochs: int) -> None:
    """Make brains whose hippocampi shrink, train a network for each patch, and look once."""
    caps, maps = folder / "caps", folder / "maps"
    run(f"python examples/demo/make_caps.py {caps} --n-participants {n_participants} --seed 7")
    run(f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test {n_test}")
    run(f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits 3")
    run(
        f"clinicadl prepare-data patch {caps} custom --custom_suffix {SUFFIX} -ej patches "
        f"--patch_size {SIZE} --stride_size {SIZE}"
    )
    run(
        f"clinicadl train classification {caps} patches {caps}/split/3_fold {maps} --n_splits 3 "
        f"--split 0 --architecture Conv4_FC3 --multi_network --epochs {epochs} "
        f"--learning_rate 1e-3 --selection_threshold {THRESHOLD}"
    )
    run(
        f"clinicadl predict {maps} test --caps_directory {caps} "
        f"--participants_tsv {caps}/split/test_baseline.tsv"
    )


def said(maps: Path, group: str, level: str) -> pd.DataFrame:
    """Return the predictions of split 0 for patches or images."""
    return table(names.predictions(names.results(maps, 0, "loss", group), level))


def balanced_accuracy(true: Values, predicted: Values) -> float:
    """Return the mean share of right predictions over the classes that there are."""
    return float(np.mean([(predicted[true == node] == node).mean() for node in np.unique(true)]))


def accuracies(of_parts: pd.DataFrame) -> pd.Series[float]:
    """Return the balanced accuracy of each patch."""
    columns = ["true_label", "predicted_label"]
    return of_parts.groupby(PART)[columns].apply(lambda rows: balanced_accuracy(*rows.to_numpy().T))


def votes(validation: pd.DataFrame, test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what the images are by each way to vote; the last two choose on the test set."""
    learnt = vote.weights(validation, PART, threshold=0.0)
    strict = vote.weights(validation, PART, threshold=THRESHOLD)
    leaking = vote.weights(test, PART, threshold=THRESHOLD)
    best, best_by_test = (accuracies(one).idxmax() for one in (validation, test))
    ways: dict[str, Callable[[], pd.DataFrame]] = {
        "hard": lambda: vote.soft_vote(
            vote.hardened(test, 2), PART, vote.equal(test, PART), n_classes=2
        ),
        "mean": lambda: vote.soft_vote(test, PART, vote.equal(test, PART), n_classes=2),
        "weighed on validation": lambda: vote.soft_vote(test, PART, learnt, n_classes=2),
        f"the same, threshold {THRESHOLD}": lambda: vote.soft_vote(test, PART, strict, n_classes=2),
        "best patch of validation": lambda: test[test[PART] == best],
        "LEAK: weighed on the test set": lambda: vote.soft_vote(test, PART, leaking, n_classes=2),
        "LEAK: best patch of the test set": lambda: test[test[PART] == best_by_test],
    }
    return {name: way() for name, way in ways.items()}


def judged(images_said: pd.DataFrame) -> Estimate:
    """Return the balanced accuracy over participants, one image each."""
    true, predicted = (images_said[name].to_numpy() for name in ("true_label", "predicted_label"))
    return estimate(lambda rows: balanced_accuracy(true[rows], predicted[rows]), len(true))


def share_of_truth(caps: Path) -> pd.Series[float]:
    """Return which share of the lost tissue's voxels lies in each patch."""
    truth = images.read(caps / TRUTH).voxels > 0
    cut = parts.of(PatchMode(patch_size=SIZE, stride_size=SIZE), (1, *truth.shape))
    windows = [cut.window(i) for i in range(len(cut))]
    inside = [truth[tuple(map(slice, one.start, one.stop))].sum() for one in windows]
    return pd.Series(inside, index=list(cut.numbers)) / truth.sum()


def draw_patches(planes: Sequence[Any], caps: Path, of_patch: pd.Series[float]) -> None:
    """Draw the accuracy of each patch on the mean brain, in a coronal and an axial plane."""
    truth = images.read(caps / TRUTH)
    brains = [images.read(one).voxels for one in sorted(caps.rglob(f"*{SUFFIX}"))[:20]]
    brain = np.mean(brains, axis=0)
    cut = parts.of(PatchMode(patch_size=SIZE, stride_size=SIZE), (1, *brain.shape))
    place = np.argwhere(truth.voxels > 0).mean(axis=0).round().astype(int)
    for ax, across, word in zip(planes, (1, 2), ("coronal", "axial"), strict=True):
        level = place[across]
        shown = [axis for axis in range(3) if axis != across]
        ax.imshow(brain.take(level, across).T, cmap="gray", origin="lower",
                  vmax=1.4 * brain.max())  # fmt: skip
        for i, number in enumerate(cut.numbers):
            start, stop = (np.array(end) for end in cut.window(i))
            if not start[across] <= level < stop[across]:
                continue
            value = of_patch[number]
            corner = start[shown] - 0.5
            known = min(0.7, 1.4 * abs(value - 0.5))
            fill = (*to_rgb(BLUE if value > 0.5 else ORANGE), known)
            ax.add_patch(Rectangle(corner, SIZE, SIZE, fc=fill, ec="white", lw=0.7))
            ax.text(*(corner + SIZE / 2), f"{value:.2f}", color="white", ha="center",
                    va="center", fontweight="bold", path_effects=[withStroke(linewidth=2,
                    foreground="black")])  # fmt: skip
        ax.contour(truth.voxels.take(level, across).T > 0, [0.5], colors="#F0E442")
        position = truth.affine[across, 3] + truth.affine[across, across] * level
        ax.set(title=f"{word}, {'xyz'[across]} = {position:+.0f} mm", xticks=[], yticks=[])
    planes[0].set_xlabel("balanced accuracy of each patch's network\nyellow: tissue was lost")
    planes[1].set_xlabel("left is left; chance is 0.50")


def draw(folder: Path, of_patch: pd.Series[float], found: dict[str, Estimate], path: Path) -> None:
    """Draw the patches, and the votes with their intervals."""
    with plt.rc_context(STYLE):
        figure, (coronal, axial, dots) = plt.subplots(
            1, 3, figsize=(12, 3.9), width_ratios=[1, 1.05, 1.5], layout="constrained"
        )
        draw_patches((coronal, axial), folder / "caps", of_patch)
        rows = np.arange(len(found))[::-1]
        for row, (name, value) in zip(rows, found.items(), strict=True):
            colour = ORANGE if name.startswith("LEAK") else BLUE
            dots.plot([value.low, value.high], [row, row], color=colour, lw=3)
            dots.plot(value.value, row, "o", color=colour, ms=8)
        dots.axvline(0.5, color=GREY, ls=":")
        dots.set(yticks=rows, yticklabels=found, xlim=(0.3, 1.02), title="Images, test set")
        dots.set_xlabel("balanced accuracy, with 95 % interval")
        save(figure, path)


def shown(folder: Path) -> dict[str, Estimate]:
    """Print what the patches and their votes are worth, and return the votes."""
    validation, test = (said(folder / "maps", group, "patch") for group in ("validation", "test"))
    ways = votes(validation, test)
    written = said(folder / "maps", "test", "image")["proba0"].to_numpy()
    ours = ways[f"the same, threshold {THRESHOLD}"]["proba0"].to_numpy()
    if not np.allclose(written, ours, atol=1e-6):
        raise AssertionError("the vote is not that of the MAPS")
    shares = pd.DataFrame({
        "of lost tissue": share_of_truth(folder / "caps"),
        "BA, validation": accuracies(validation),
        "BA, test": accuracies(test),
        "say": vote.weights(validation, PART, threshold=THRESHOLD),
    })  # fmt: skip
    found = {name: judged(one) for name, one in ways.items()}
    print("\nPatches that have a say, or hold lost tissue:\n")
    spoke = (shares["say"] > 0) | (shares["of lost tissue"] > 0)
    print(shares[spoke].round(2).to_string())
    print(f"\nBalanced accuracy on {len(written)} participants never seen, with 95 % intervals:\n")
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")
    return found


def main() -> int:
    """Run every command, print the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "patches", help="where to work")
    parser.add_argument("--n-participants", type=int, default=120, help="default: %(default)s")
    parser.add_argument("--n-test", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: patches.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    folder = given.folder
    train(folder, n_participants=given.n_participants, n_test=given.n_test, epochs=given.epochs)
    found = shown(folder)
    of_patch = accuracies(said(folder / "maps", "test", "patch"))
    draw(folder, of_patch, found, given.picture or folder / "patches.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
