"""From raw images to a report on real scans, through the commands that a user would type."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ixi_sex import HERE, refused, run

DATA = HERE.parent / "shared" / "data"
HEADS = ("forrest-bids", "open-ms-bids")
"""Data sets of whole heads; each gets a CAPS of its own."""
BRAINS = "ixi-bids-2mm"
"""Brains alone, with age and sex: what is learnt from."""


def main() -> int:
    """Run every command and say where the pages are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="where the BIDS data sets are")
    parser.add_argument("--folder", type=Path, default=HERE / "raw-to-report", help="where to work")
    parser.add_argument("--n_proc", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    data, folder, n = arguments.data, arguments.folder, arguments.n_proc
    if code := refused(data / BRAINS, folder):
        return code
    folder.mkdir(parents=True)
    for name in (BRAINS, *HEADS):
        bids, caps, checks = data / name, folder / name, folder / f"{name}-checks"
        checks.mkdir()
        run(f"clinicadl quality-check raw {bids} {checks}/raw.tsv --page {checks}/raw.html")
        run(f"clinicadl preprocess t1-linear {bids} {caps} --n_proc {n}")
        run(f"clinicadl quality-check t1-linear {caps} {checks}/t1.tsv --n_proc {n}")
    caps, labels = folder / BRAINS, folder / "labels"
    checks = folder / f"{BRAINS}-checks"
    run(
        f"clinicadl tsvtools get-labels {data / BRAINS} {labels} "
        f"--qc {checks}/raw.tsv --qc {checks}/t1.tsv"
    )
    run(
        f"clinicadl tsvtools split {labels}/labels.tsv --subset_name test --n_test 6 "
        "--stratify-by sex"
    )
    run(f"clinicadl tsvtools kfold {labels}/split/train.tsv --n_splits 3 --stratification sex")
    run(f"clinicadl prepare-data image {caps} t1-linear -ej t1 --n_proc {n}")
    maps = folder / "age"
    run(
        f"clinicadl train regression {caps} t1 {labels}/split/3_fold {maps} --n_splits 3 "
        "--label age --architecture Conv4_FC3 --size_reduction --size_reduction_factor 4 "
        "--epochs 30 --learning_rate 2e-4 --batch_size 4"
    )
    run(
        f"clinicadl predict {maps} test --caps_directory {caps} "
        f"--participants_tsv {labels}/split/test_baseline.tsv --ensemble"
    )
    run(f"clinicadl report {maps} --figures {folder}/figures")
    print(f"report: {maps / 'report.html'}")
    pages = [folder / name / "preprocess" / "t1-linear.html" for name in (BRAINS, *HEADS)]
    print("images:", *pages, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
