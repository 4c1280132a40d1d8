"""Tell age from real brains, and learn the correction of the brain-age gap on validation alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from ixi_report import SAME_PERSON
from ixi_sex import DATA, SUFFIX, copy_caps, refused, voxels
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from steps import BLUE, GREEN, GREY, ORANGE, ROOT, STYLE, Estimate, estimate, run, save, table

N_SPLITS = 4
Values = NDArray[np.float64]


class Line(NamedTuple):
    """What is predicted on average at each age."""

    intercept: float
    slope: float

    def at(self, age: Values) -> Values:
        """Return the mean prediction at an age."""
        return self.intercept + self.slope * age


def line_of(age: Values, predicted: Values) -> Line:
    """Return the least-squares line of the predictions over the ages."""
    slope, intercept = np.polyfit(age, predicted, 1)
    return Line(float(intercept), float(slope))


def train(caps: Path, maps: Path, *, n_test: int, epochs: int) -> None:
    """Split, train one network a fold, and look at the test set once."""
    run(
        f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test {n_test} "
        "--stratify-by sex"
    )
    run(
        f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits {N_SPLITS} "
        "--stratification sex"
    )
    run(
        f"clinicadl train regression {caps} ixi {caps}/split/{N_SPLITS}_fold {maps} --label age "
        f"--n_splits {N_SPLITS} --architecture Conv4_FC3 --epochs {epochs} --learning_rate 2e-4"
    )
    run(
        f"clinicadl predict {maps} test --caps_directory {caps} "
        f"--participants_tsv {caps}/split/test_baseline.tsv --ensemble"
    )
    run(f"clinicadl report {maps}")


def baselines(caps: Path) -> dict[str, Values]:
    """Return what models without a network say of the test set, fitted on everybody else."""
    fitted, judged = (table(caps / "split" / f"{name}.tsv") for name in ("train", "test_baseline"))
    ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(2, 7, 11)))
    ridge.fit(voxels(caps, fitted), fitted["age"])
    return {
        "mean age of train": np.full(len(judged), fitted["age"].mean()),
        "ridge on voxels": ridge.predict(voxels(caps, judged)),
    }


def predictions(maps: Path, group: str) -> pd.DataFrame:
    """Return who is told which age: of the ensemble, or of each split for its own validation."""
    if group != "validation":
        home = maps / "ensemble" / "best-loss" / group
        return table(home / f"{group}_image_level_prediction.tsv")
    homes = (maps / f"split-{i}" / "best-loss" / group for i in range(N_SPLITS))
    return pd.concat([table(home / f"{group}_image_level_prediction.tsv") for home in homes])


def numbers(age: Values, said: dict[str, Values], lines: dict[str, Line]) -> dict[str, Estimate]:
    """Return the error of each model, and how the gap of the network goes with age.

    Parameters
    ----------
    age
        Of the test set.
    said
        Name of a model -> what it says of the test set; the last one is the network.
    lines
        Name of a correction -> the line that is subtracted from what the network says.
    """
    found = {}
    for name, one in said.items():
        found[f"MAE, {name}"] = estimate(lambda rows, x=one: np.abs(x - age)[rows].mean(), len(age))
    network = list(said.values())[-1]
    gaps = {"as it is": network - age}
    gaps |= {name: network - line.at(age) for name, line in lines.items()}
    for name, gap in gaps.items():
        found[f"correlation of gap and age, {name}"] = estimate(
            lambda rows, x=gap: np.corrcoef(x[rows], age[rows])[0, 1], len(age)
        )
        found[f"mean size of the gap, {name}"] = estimate(
            lambda rows, x=gap: np.abs(x[rows]).mean(), len(age)
        )
    return found


def draw(
    age: Values, said: dict[str, Values], line: Line, found: dict[str, Estimate], path: Path
) -> None:
    """Draw predictions, gaps before and after the correction, and errors beside baselines."""
    network = list(said.values())[-1]
    with plt.rc_context(STYLE):
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(12, 3.8), width_ratios=[1, 1.25, 0.9], layout="constrained"
        )
        ends = np.array([18.0, 84.0])
        left.plot(ends, ends, color=GREY, lw=1, label="right")
        left.plot(ends, line.at(ends), color=ORANGE, lw=2, label="mean on validation")
        left.plot(age, network, "o", color=BLUE, ms=5, alpha=0.8, label="test set")
        left.set(xlabel="age (years)", ylabel="age that is told (years)", title="Predictions")
        left.legend(loc="upper left")
        middle.axhline(0, color=GREY, lw=1)
        middle.plot(age, network - age, "o", mfc="none", color=ORANGE, ms=5, label="as it is")
        middle.plot(age, network - line.at(age), "o", color=BLUE, ms=4, label="corrected")
        middle.set(xlabel="age (years)", ylabel="gap (years)", title="Brain-age gap, test set")
        words = "correlation of gap and age"
        before, after = found[f"{words}, as it is"], found[f"{words}, learnt on validation"]
        middle.legend(title=f"{words}:\n{before}, corrected {after}", title_fontsize=8)
        names = list(said)
        values = [found[f"MAE, {name}"] for name in names]
        places = np.arange(len(names))[::-1]
        for place, value, colour in zip(places, values, (GREY, GREEN, BLUE), strict=True):
            right.plot([value.low, value.high], [place, place], color=colour, lw=3)
            right.plot(value.value, place, "o", color=colour, ms=8)
            right.annotate(str(value), (value.value, place), (0, 8), ha="center",
                           textcoords="offset points")  # fmt: skip
        right.set(yticks=places, yticklabels=names, xlabel="mean absolute error (years)")
        right.set(xlim=(0, 20), ylim=(-0.6, len(names) - 0.4), title="Uncorrected, test set")
        save(figure, path)


def show(caps: Path, maps: Path, picture: Path) -> None:
    """Print the numbers and draw them."""
    test, validation = predictions(maps, "test"), predictions(maps, "validation")
    age = test["true_label"].to_numpy()
    ids = ["participant_id", "session_id"]
    judged = table(caps / "split" / "test_baseline.tsv")[[*ids, "age"]]
    if not judged.merge(test, on=ids).eval("age == true_label").all():
        raise AssertionError("ages of table and MAPS differ")
    order = judged.set_index("participant_id").index.get_indexer(test["participant_id"])
    said = {name: one[order] for name, one in baselines(caps).items()}
    said["Conv4_FC3, four together"] = test["predicted_label"].to_numpy()
    line = line_of(*(validation[name].to_numpy() for name in ("true_label", "predicted_label")))
    own = line_of(age, test["predicted_label"].to_numpy())
    lines = {"learnt on validation": line, "learnt on the test set": own}
    found = numbers(age, said, lines)
    constant = np.full(len(validation), said["mean age of train"][0])
    flat = line_of(validation["true_label"].to_numpy(), constant)
    of_constant = np.abs(said["mean age of train"] - flat.at(age)).mean()
    print(f"\nvalidation: age told = {line.intercept:.1f} + {line.slope:.2f} x age")
    print(f"\nOn {len(age)} people never seen, with 95 % intervals:\n")
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")
    print(f"mean size of the gap, mean age of train, corrected alike: {of_constant:.2f}")
    draw(age, said, line, found, picture)


def main() -> int:
    """Run every command, print the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="CAPS of the scans")
    parser.add_argument("--folder", type=Path, default=ROOT / "brain-age", help="where to work")
    parser.add_argument("--n-test", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: brain-age.png in the folder)")
    given = parser.parse_args()
    if code := refused(given.data, given.folder):
        return code
    caps, maps = given.folder / "caps", given.folder / "maps"
    labels = copy_caps(given.data, given.folder)
    labels = labels[labels["participant_id"] != SAME_PERSON]
    labels.to_csv(caps / "labels.tsv", sep="\t", index=False)
    run(f"clinicadl prepare-data image {caps} custom --custom_suffix {SUFFIX} -ej ixi")
    train(caps, maps, n_test=given.n_test, epochs=given.epochs)
    show(caps, maps, given.picture or given.folder / "brain-age.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
