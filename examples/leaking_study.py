"""A study that leaks, simulated: what its numbers say where there is nothing to find."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from steps import BLUE, GREY, ORANGE, ROOT, STYLE, Estimate, estimate, occupied, run, save, table

from clinicadl.draws import generator
from clinicadl.layouts import images

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
SLICES = range(16, 36)
"""Coronal slices that the study takes of each image."""
N_MODELS = 200
Values = NDArray[np.float64]


def slices_of(caps: Path) -> tuple[pd.DataFrame, Values]:
    """Return the table of the slices as a study might keep it, and their voxels, a row a slice."""
    labels = table(caps / "labels.tsv")
    labels = labels[labels["session_id"] == "ses-M000"]
    rows, voxels = [], []
    for person in labels.itertuples():
        home = caps / "subjects" / person.participant_id / person.session_id / "custom"
        brain = images.read(next(home.glob(f"*{SUFFIX}"))).voxels
        for number in SLICES:
            path = f"png/{person.participant_id}_{person.session_id}_slice-{number}.png"
            rows.append({"path": path, "participant_id": person.participant_id,
                         "diagnosis": person.diagnosis})  # fmt: skip
            voxels.append(brain[:, number].ravel())
    return pd.DataFrame(rows), np.stack(voxels)


def divided(slices: pd.DataFrame, *, by_person: bool) -> NDArray[np.bool_]:
    """Return which slices are in the test set: a fifth of the slices, or those of a third of us."""
    draw = generator(0, "study: test set")
    if not by_person:
        return draw.random(len(slices)) < 0.2
    people = slices["participant_id"].unique()
    chosen = draw.permutation(people)[: len(people) // 3]
    return slices["participant_id"].isin(chosen).to_numpy()


def write_tables(folder: Path, slices: pd.DataFrame, is_test: NDArray[np.bool_]) -> None:
    """Write the two tables that the study would publish."""
    folder.mkdir(parents=True)
    for name, rows in (("train", slices[~is_test]), ("test", slices[is_test])):
        rows[["path", "diagnosis"]].to_csv(folder / f"{name}.csv", index=False)


def accuracy(slices: pd.DataFrame, voxels: Values, is_test: NDArray[np.bool_]) -> Estimate:
    """Return the share of test slices whose nearest slice of train has the same label.

    What slices of one number have in common, the mean of those of train, is taken away before.
    """
    labels, numbers = slices["diagnosis"].to_numpy(), slices["path"].str[-6:].to_numpy()
    own = voxels.copy()
    for number in np.unique(numbers):
        own[numbers == number] -= voxels[(numbers == number) & ~is_test].mean(axis=0)
    model = KNeighborsClassifier(1).fit(own[~is_test], labels[~is_test])
    is_right = model.predict(own[is_test]) == labels[is_test]
    owners = slices["participant_id"][is_test]
    of_person = pd.Series(is_right, index=owners.index).groupby(owners).agg(["sum", "size"])
    right, n = of_person["sum"].to_numpy(), of_person["size"].to_numpy()
    return estimate(lambda rows: right[rows].sum() / n[rows].sum(), len(n))


def tried(slices: pd.DataFrame, voxels: Values, is_test: NDArray[np.bool_]) -> Values:
    """Return the accuracy on the people of the test set of many models, each with other voxels."""
    middle = slices["path"].str.contains(f"slice-{SLICES[10]}.png").to_numpy()
    labels, use = slices["diagnosis"].to_numpy(), np.flatnonzero(voxels.std(axis=0) > 0)
    train, test = middle & ~is_test, middle & is_test
    found = []
    for number in range(N_MODELS):
        some = generator(0, "study: models", sample=number).choice(use, 100, replace=False)
        model = RidgeClassifier().fit(voxels[train][:, some], labels[train])
        found.append((model.predict(voxels[test][:, some]) == labels[test]).mean())
    return np.array(found)


def draw(by_slices: Estimate, by_people: Estimate, scores: Values, path: Path) -> None:
    """Draw both leaks: what a division of slices tells, and what the best of many models tells."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
        shown = (
            ("slices drawn\nat random", by_slices, ORANGE),
            ("people kept\nwhole", by_people, BLUE),
        )
        for place, (_, value, colour) in enumerate(shown):
            left.plot([place, place], [value.low, value.high], color=colour, lw=3)
            left.plot(place, value.value, "o", color=colour, ms=8)
            left.annotate(str(value), (place, value.value), (8, -3), textcoords="offset points")
        left.axhline(0.5, color=GREY, ls=":")
        left.set(xticks=[0, 1], xticklabels=[name for name, *_ in shown], ylim=(0.2, 1.05))
        left.set(
            xlim=(-0.4, 1.8),
            ylabel="accuracy, test slices",
            title="Divided by slices, or by people",
        )
        values, counts = np.unique(scores.round(6), return_counts=True)
        right.bar(values, counts, width=0.02, color=BLUE)
        right.axvline(0.5, color=GREY, ls=":")
        right.annotate(f"the one that is published: {scores.max():.2f}", (scores.max(), 1),
                       (-10, 60), textcoords="offset points", ha="center", color=ORANGE,
                       arrowprops={"arrowstyle": "->", "color": ORANGE})  # fmt: skip
        right.set(
            xlabel="accuracy on the test set",
            ylabel="models",
            title=f"{len(scores)} models tried on it",
        )
        save(figure, path)


def main() -> int:
    """Make the study, audit its tables, print its numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "study", help="where to work")
    parser.add_argument("--n-participants", type=int, default=90, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: study.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    folder, caps = given.folder, given.folder / "caps"
    run(
        f"python examples/demo/make_caps.py {caps} --n-participants {given.n_participants} "
        "--seed 41 --shuffle-labels"
    )
    slices, voxels = slices_of(caps)
    found = {}
    for name, by_person in (("by-slices", False), ("by-people", True)):
        is_test = divided(slices, by_person=by_person)
        write_tables(folder / name, slices, is_test)
        run(f"clinicadl audit {folder}/{name}", expected=0 if by_person else 4)
        found[name] = accuracy(slices, voxels, is_test)
    scores = tried(slices, voxels, divided(slices, by_person=True))
    print("\nLabels that mean nothing; accuracy on the test set:\n")
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")
    print(f"{N_MODELS} models: mean {scores.mean():.2f}, best {scores.max():.2f}")
    draw(found["by-slices"], found["by-people"], scores, given.picture or folder / "study.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
