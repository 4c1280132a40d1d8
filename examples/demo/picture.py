"""Draw what a training learnt: its curves, and a few brains with what was said of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from make_caps import TRUTH, mask_path
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from clinicadl.errors import ClinicaDLError, MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.files import whole_file
from clinicadl.layouts.maps import names

IDS = ["participant_id", "session_id"]
SELECTION = "loss"
N_BRAINS = 4
"""Brains of each label."""
SPLIT_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
RIGHT_COLOUR, WRONG_COLOUR, MASK_COLOUR = "#56B4E9", "#E69F00", "#F0E442"
# These colours are told apart with any colour vision (Okabe and Ito, 2008).

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


class Interval(NamedTuple):
    """A metric and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Plane(NamedTuple):
    """A coronal plane, in the world."""

    index: int
    y_mm: float
    extent_mm: tuple[float, float, float, float]
    """Outer edges along x and z."""
    outline: NDArray[np.bool_]
    """The mask in this plane, shape (x, z)."""
    window: tuple[slice, slice]
    """Voxels along x and z that are shown."""


def read_curves(maps: Path, split: int) -> pd.DataFrame:
    """Return the last row of each epoch of a split's training log."""
    log = _table(names.training_log(maps, split))
    return log.groupby("epoch", as_index=False).last()


def best_epoch(curves: pd.DataFrame) -> int:
    """Return the first epoch with the least validation loss, whose weights are kept."""
    return int(curves["epoch"][curves["loss_valid"].idxmin()])


def read_predictions(caps: Path, maps: Path, split: int, group: str) -> pd.DataFrame:
    """Return the predictions of a split, with the names of the classes and the true atrophy.

    Returns
    -------
    The prediction table with the columns ``label`` and ``says`` (names of the classes),
    ``certainty`` (the probability of the class that was said), ``sureness`` (that of the true
    class) and ``atrophy``.
    """
    path = names.predictions(names.results(maps, split, SELECTION, group), "image")
    table = _table(path).merge(_table(caps / "labels.tsv"), on=IDS)
    table = table.merge(_table(caps / "truth.tsv"), on=IDS)
    name_of_code = dict(zip(table["true_label"], table["diagnosis"], strict=True))
    proba = table[[f"proba{code}" for code in sorted(name_of_code)]].to_numpy()
    return table.assign(
        label=table["diagnosis"],
        says=table["predicted_label"].map(name_of_code),
        certainty=proba.max(axis=1),
        sureness=proba[np.arange(len(table)), table["true_label"]],
    )


def read_interval(maps: Path, split: int, group: str, metric: str) -> Interval:
    """Return a metric of the best model of a split on a data group."""
    path = names.metrics(names.results(maps, split, SELECTION, group), "image")
    column = _table(path).set_index("Metrics")[metric]
    rows = ("Values", "Lower bound CI", "Upper bound CI")
    return Interval(*(float(column[row]) for row in rows))


def chosen(predictions: pd.DataFrame, n_brains: int) -> pd.DataFrame:
    """Return some rows of each label, evenly from the best recognised to the least."""
    parts = []
    for _, part in predictions.groupby("label"):
        ranked = part.sort_values(["sureness", *IDS], ascending=[False, True, True])
        places = np.rint(np.linspace(0, len(ranked) - 1, min(n_brains, len(ranked)))).astype(int)
        parts.append(ranked.iloc[places])
    return pd.concat(parts, ignore_index=True)


def plane_through(mask: images.Image, brain: NDArray[np.float32]) -> Plane:
    """Return the coronal plane that has most of the mask, cut to the brain."""
    inside = mask.voxels > 0
    index = int(inside.sum(axis=(0, 2)).argmax())
    size = np.abs(np.diag(mask.affine)[:3])
    shown = np.argwhere(brain[:, index] > 0.05 * brain.max())
    low = np.maximum(shown.min(axis=0) - 1, 0)
    high = np.minimum(shown.max(axis=0) + 2, np.array(brain[:, index].shape))
    corner = mask.affine @ [low[0] - 0.5, index, low[1] - 0.5, 1]
    width, height = (high - low) * size[[0, 2]]
    return Plane(
        index=index,
        y_mm=float(corner[1]),
        extent_mm=(corner[0], corner[0] + width, corner[2], corner[2] + height),
        outline=inside[low[0] : high[0], index, low[1] : high[1]],
        window=(slice(low[0], high[0]), slice(low[1], high[1])),
    )


def draw(caps: Path, maps: Path, group: str, output: Path) -> None:
    """Draw the picture of a MAPS.

    Parameters
    ----------
    caps
        CAPS that `make_caps` wrote.
    maps
        MAPS that was trained on it.
    group
        Data group that the models looked at.
    output
        The PNG that is written.

    Raises
    ------
    MissingInputError
        The MAPS has no split, or a table or an image is missing.
    """
    splits = names.split_numbers(maps)
    if not splits:
        raise MissingInputError("The MAPS has no split", where=maps, fix="Train it first")
    predictions = read_predictions(caps, maps, splits[0], group)
    brains = chosen(predictions, N_BRAINS)
    mask = images.read(caps / mask_path(TRUTH))
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(13, 6.4), dpi=130, layout="constrained")
        curves_area, brains_area = figure.subfigures(1, 2, width_ratios=[1, 2], wspace=0.02)
        figure.suptitle(_title(maps, splits, group, len(predictions)), fontsize=13)
        _draw_curves(curves_area, maps, splits)
        _draw_brains(brains_area, caps, brains, mask, _heading(splits[0], group, predictions))
        with whole_file(output) as temporary:
            # Without the version of the library the same numbers are the same bytes.
            figure.savefig(temporary, format="png", metadata={"Software": None})
        plt.close(figure)


def _title(maps: Path, splits: Sequence[int], group: str, n_images: int) -> str:
    found = (f"{read_interval(maps, split, group, 'BA')} (split {split})" for split in splits)
    return (
        f"Balanced accuracy on {n_images} participants never seen ({group}): {', '.join(found)}\n"
        "in brackets the 95 % interval; chance is 0.50"
    )


def _draw_curves(area: Any, maps: Path, splits: Sequence[int]) -> None:
    axes = area.subplots(2, 1, sharex=True)
    for place, split in enumerate(splits):
        colour = SPLIT_COLOURS[place % len(SPLIT_COLOURS)]
        curves = read_curves(maps, split)
        best = best_epoch(curves)
        row = curves[curves["epoch"] == best].iloc[0]
        for ax, metric in zip(axes, ("loss", "BA"), strict=True):
            ax.plot(curves["epoch"], curves[f"{metric}_train"], color=colour, ls=":", lw=1.5)
            ax.plot(curves["epoch"], curves[f"{metric}_valid"], color=colour, lw=2)
            ax.plot(best, row[f"{metric}_valid"], "o", ms=9, mfc="white", mec=colour, mew=2)
    axes[0].set(ylabel="loss", title="Learning")
    axes[1].set(ylabel="balanced accuracy", xlabel="epoch", ylim=(0.3, 1.03))
    axes[1].axhline(0.5, color="#777777", lw=1, ls=(0, (1, 1)))
    axes[1].annotate("chance", (1, 0.5), (-2, 3), xycoords=("axes fraction", "data"),
                     textcoords="offset points", ha="right", color="#777777")  # fmt: skip
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    kinds = [
        Line2D([], [], color="#444444", lw=2, label="validation"),
        Line2D([], [], color="#444444", lw=1.5, ls=":", label="train"),
        Line2D([], [], color="#444444", marker="o", ls="", ms=9, mfc="white", mew=2,
               label="weights that are kept"),
    ]  # fmt: skip
    colours = [
        Line2D(
            [], [], color=SPLIT_COLOURS[place % len(SPLIT_COLOURS)], lw=4, label=f"split {split}"
        )
        for place, split in enumerate(splits)
    ]
    area.legend(handles=kinds + colours, loc="outside lower center", ncols=3, fontsize=8)


def _heading(split: int, group: str, predictions: pd.DataFrame) -> str:
    right = int((predictions["label"] == predictions["says"]).sum())
    return (
        f"Who was recognised ({group}, split {split}: {right} of {len(predictions)} right)\n"
        "from left to right: from the best recognised to the least"
    )


def _draw_brains(
    area: Any, caps: Path, brains: pd.DataFrame, mask: images.Image, heading: str
) -> None:
    labels = sorted(brains["label"].unique())
    axes = area.subplots(len(labels), N_BRAINS, squeeze=False)
    area.suptitle(heading, fontsize=10.8)
    plane = None
    for label, line in zip(labels, axes, strict=True):
        for ax in line:
            ax.set_axis_off()
        rows = brains[brains["label"] == label].to_dict("records")
        for row, ax in zip(rows, line, strict=False):
            image = _image(caps, row)
            plane = plane or plane_through(mask, image.voxels)
            _draw_brain(ax, image.voxels, plane, row)
    position = f"y = {plane.y_mm:+.0f} mm" if plane else ""
    area.supxlabel(
        f"Coronal, {position}; radiological: the participant's right (R) is on the left. "
        "Yellow: where tissue was taken away.\n"
        "Tissue lost: the known share at the centre. "
        "Blue, full frame and ✓: right; orange, dashed frame and ✗: wrong.",
        fontsize=8.5,
    )


def _draw_brain(ax: Any, voxels: NDArray[np.float32], plane: Plane, row: dict[str, Any]) -> None:
    is_right = row["label"] == row["says"]
    colour = RIGHT_COLOUR if is_right else WRONG_COLOUR
    x, z = plane.window
    shown = voxels[x, plane.index, z]
    left, right, bottom, top = plane.extent_mm
    ax.imshow(shown.T, cmap="gray", origin="lower", extent=plane.extent_mm, aspect="equal",
              interpolation="bicubic", vmin=0, vmax=float(np.percentile(voxels, 99.5)))  # fmt: skip
    _draw_outline(ax, plane)
    # The participant's right, where x is greatest, comes to the left of the page.
    ax.set(xlim=(right, left), ylim=(bottom, top))
    ax.set_axis_on()
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        # Other ends than flat ones would fill the gaps between the dashes.
        spine.set(visible=True, color=colour, linewidth=3.5, capstyle="butt")
        spine.set_linestyle("-" if is_right else (0, (3, 1.5)))
    for letter, across in (("R", 0.03), ("L", 0.97)):
        ax.text(across, 0.97, letter, transform=ax.transAxes, color="white", va="top",
                ha="left" if letter == "R" else "right", fontsize=8)  # fmt: skip
    ax.set_title(
        f"{'✓' if is_right else '✗'} is {row['label']}, said {row['says']} {row['certainty']:.2f}",
        fontsize=9.5,
        fontweight="normal" if is_right else "bold",
    )
    lost = f"{100 * row['atrophy']:.0f} % of tissue lost" if row["atrophy"] else "no tissue lost"
    ax.set_xlabel(f"{row['participant_id']}: {lost}", fontsize=8)


def _draw_outline(ax: Any, plane: Plane) -> None:
    """Draw the edges of the mask's voxels, which a smooth contour would round off."""
    left, right, bottom, top = plane.extent_mm
    n_x, n_z = plane.outline.shape
    x, z = np.linspace(left, right, n_x + 1), np.linspace(bottom, top, n_z + 1)
    padded = np.pad(plane.outline, 1)
    across = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    upright = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines = [[(x[i], z[j]), (x[i], z[j + 1])] for i, j in across]
    lines += [[(x[i], z[j]), (x[i + 1], z[j])] for i, j in upright]
    for line in lines:
        ax.plot(*zip(*line, strict=True), color=MASK_COLOUR, lw=1.1, solid_capstyle="round")


def _image(caps: Path, row: dict[str, Any]) -> images.Image:
    home = caps / "subjects" / row["participant_id"] / row["session_id"] / "custom"
    found = sorted(home.glob("*_T1w.nii.gz"))
    if not found:
        raise MissingInputError("The image does not exist", where=home)
    return images.read(found[0])


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t")
    except FileNotFoundError as error:
        raise MissingInputError(
            "The table does not exist", where=path, fix="Run the steps before this one"
        ) from error


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("caps", type=Path, help="CAPS of the demonstration")
    parser.add_argument("maps", type=Path, help="MAPS that was trained on it")
    parser.add_argument("output", type=Path, help="PNG that is written")
    parser.add_argument("--group", default="test", help="data group (default: %(default)s)")
    given = parser.parse_args()
    mpl.use("Agg")
    try:
        draw(given.caps, given.maps, given.group, given.output)
    except ClinicaDLError as error:
        print(f"picture: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"The picture is {given.output}")


if __name__ == "__main__":
    main()
