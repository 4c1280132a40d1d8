"""First weights from a study that has the test people among its own, and from one that has not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from steps import BLUE, GREY, ORANGE, ROOT, STYLE, Estimate, metric, occupied, run, save, table

from clinicadl.layouts.maps import names

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
STARTS = {"no source": GREY, "source of others": BLUE, "source with test people": ORANGE}
"""Where the first weights come from, and a colour."""
STUDIES = {"source of others": "others", "source with test people": "mixed"}
"""Source -> the folder of its tables."""
REASON = "to measure what the leak is worth"


def cohorts(folder: Path, *, made: str, n_clinic: int, n_test: int) -> None:
    """Make a clinic with a test set, and two studies of as many people as each other.

    One of the studies has the test people of the clinic in train; both have the same validation.
    """
    caps, clinic = folder / "caps", folder / "clinic"
    run(f"python examples/demo/make_caps.py {caps} {made}")
    labels = table(caps / "labels.tsv")
    labels = labels[labels["session_id"] == "ses-M000"]
    first, last = labels[:n_clinic], labels[n_clinic:]
    for name, people in (("clinic", first), ("others", last)):
        (folder / name).mkdir()
        people.to_csv(folder / name / "people.tsv", sep="\t", index=False)
    run(f"clinicadl tsvtools split {clinic}/people.tsv --subset_name test --n_test {n_test}")
    run(f"clinicadl tsvtools split {clinic}/split/train.tsv --n_test 0.3")
    run(f"clinicadl tsvtools split {folder}/others/people.tsv --n_test 0.25")
    home, study = folder / "others" / "split", folder / "mixed" / "split"
    study.mkdir(parents=True)
    train, validation = (table(home / f"{name}.tsv") for name in ("train", "validation_baseline"))
    test = table(clinic / "split" / "test_baseline.tsv")
    mixed = pd.concat([train[len(test) :], test])
    for name, rows in (("train", mixed), ("validation_baseline", validation)):
        rows.to_csv(study / f"{name}.tsv", sep="\t", index=False)
    run(
        f"clinicadl prepare-data roi {caps} custom --custom_suffix {SUFFIX} -ej regions "
        "--roi_list leftHippocampus rightHippocampus --roi_custom_template MNI152"
    )


def maps_of(folder: Path, start: str) -> Path:
    """Return the MAPS of the clinic that began so."""
    return folder / f"clinic-{STUDIES.get(start, 'alone')}"


def train(folder: Path, *, epochs: int) -> None:
    """Train both sources, and the clinic's networks from each start."""
    common = "--architecture Conv4_FC3 --selection_metrics BA"
    for study in STUDIES.values():
        run(
            f"clinicadl train classification {folder}/caps regions {folder}/{study}/split "
            f"{folder}/{study}/maps {common} --epochs {2 * epochs} --learning_rate 3e-4"
        )
    for start in STARTS:
        study = STUDIES.get(start)
        weights = f"--transfer_path {folder}/{study}/maps " if study else ""
        said = run(
            f"clinicadl train classification {folder}/caps regions {folder}/clinic/split/split "
            f"{maps_of(folder, start)} {weights}{common} --epochs {epochs} --learning_rate 1e-4"
        )
        print(*(line for line in said.splitlines() if "of the test set" in line), sep="\n")


def look(folder: Path) -> dict[str, Estimate]:
    """Evaluate each network on the test set: one is refused, and measured all the same."""
    found = {}
    for start in STARTS:
        maps = maps_of(folder, start)
        command = (
            f"clinicadl predict {maps} test --caps_directory {folder}/caps "
            f"--participants_tsv {folder}/clinic/split/test_baseline.tsv"
        )
        if STUDIES.get(start) == "mixed":
            run(command, expected=4)
            command += f' --accept-leakage "{REASON}"'
        run(command)
        found[start] = metric(names.metrics(names.results(maps, 0, "BA", "test"), "image"), "BA")
    return found


def draw(found: dict[str, dict[str, Estimate]], path: Path) -> None:
    """Draw the balanced accuracy of each start, for true and for shuffled labels."""
    titles = {"true": "Labels that the images show", "shuffled": "Labels that mean nothing"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True, layout="constrained")
        rows = range(len(STARTS))[::-1]
        for ax, (kind, values) in zip(axes, found.items(), strict=True):
            for row, (start, value) in zip(rows, values.items(), strict=True):
                colour = STARTS[start]
                ax.plot([value.low, value.high], [row, row], color=colour, lw=3)
                ax.plot(value.value, row, "o", color=colour, ms=8)
                ax.annotate(str(value), (value.value, row), (0, 8), ha="center",
                            textcoords="offset points")  # fmt: skip
            ax.axvline(0.5, color=GREY, ls=":")
            ax.set(title=titles[kind], xlim=(0.1, 1.1), ylim=(-0.5, len(STARTS) - 0.3))
            ax.set(yticks=rows, yticklabels=STARTS, xlabel="balanced accuracy, test set")
        save(figure, path)


def main() -> int:
    """Run every command, print the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "transfer", help="where to work")
    parser.add_argument("--n-participants", type=int, default=120, help="default: %(default)s")
    parser.add_argument("--n-clinic", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--n-test", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: transfer.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    found = {}
    for kind, option in (("true", ""), ("shuffled", " --shuffle-labels")):
        folder = given.folder / kind
        made = f"--n-participants {given.n_participants} --seed 21{option}"
        cohorts(folder, made=made, n_clinic=given.n_clinic, n_test=given.n_test)
        train(folder, epochs=given.epochs)
        found[kind] = look(folder)
    for kind, values in found.items():
        print(f"\n{kind} labels, balanced accuracy on {given.n_test} people, 95 % intervals:\n")
        print(*(f"{start}: {value}" for start, value in values.items()), sep="\n")
    draw(found, given.picture or given.folder / "transfer.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
