"""Judge networks for sex and age on real brains, from the audit to the report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from ixi_sex import DATA, HERE, SUFFIX, copy_caps, refused, run

SAME_PERSON = "sub-IXI384"
"""What the audit finds: the head of sub-IXI383, under another name."""
TASKS = {
    "sex": "classification {caps} ixi {folds} {maps} --label sex --epochs 20 --learning_rate 2e-4",
    "age": "regression {caps} ixi {folds} {maps} --label age --epochs 30 --learning_rate 2e-4",
}


def main() -> int:
    """Run every command and say where the reports are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="CAPS of the scans")
    parser.add_argument("--folder", type=Path, default=HERE / "ixi-report", help="where to work")
    arguments = parser.parse_args()
    if code := refused(arguments.data, arguments.folder):
        return code
    caps = arguments.folder / "caps"
    copy_caps(arguments.data, arguments.folder)
    run(f"clinicadl prepare-data image {caps} custom --custom_suffix {SUFFIX} -ej ixi")
    run(f"clinicadl audit {caps} --pictures {arguments.folder}/pairs")
    table = pd.read_csv(caps / "labels.tsv", sep="\t", dtype=str)
    table = table[table["participant_id"] != SAME_PERSON]
    table.to_csv(caps / "labels.tsv", sep="\t", index=False)
    run(
        f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test 30 "
        "--stratify-by sex"
    )
    run(f"clinicadl tsvtools kfold {caps}/split/train.tsv --n_splits 4 --stratification sex")
    for label, command in TASKS.items():
        maps = arguments.folder / label
        train = command.format(caps=caps, folds=f"{caps}/split/4_fold", maps=maps)
        run(f"clinicadl train {train} --n_splits 4 --architecture Conv4_FC3")
        run(
            f"clinicadl predict {maps} test --caps_directory {caps} "
            f"--participants_tsv {caps}/split/test_baseline.tsv --ensemble"
        )
        run(f"clinicadl interpret {maps} test gradients gradients --split 0 --sanity")
        run(
            f"clinicadl compare {maps} --group test --covariates_tsv {caps}/labels.tsv "
            f"--confounds {'age' if label == 'sex' else 'sex'} --split 0"
        )
        run(f"clinicadl report {maps} --figures {arguments.folder}/{label}-figures")
    print(*(f"{label}: {arguments.folder / label / 'report.html'}" for label in TASKS), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
