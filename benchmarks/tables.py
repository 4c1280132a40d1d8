"""The tables commands on 100,000 rows: seconds and peak memory of each, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

N_PARTICIPANTS, MONTHS = 25_000, (0, 12, 24, 36)


def make(path: Path) -> None:
    """Write a table of 100,000 sessions with twelve columns, in no order."""
    from clinicadl.draws import generator

    draw, n = generator(0, "benchmark"), N_PARTICIPANTS
    stage = draw.integers(0, 3, n)
    people = {
        "participant_id": [f"sub-{i:05d}" for i in range(n)],
        "sex": draw.choice(["F", "M"], n),
        "site": draw.choice([f"site{i}" for i in range(20)], n),
        "family": [f"F{i // 2 if i % 3 else i + n}" for i in range(n)],
        "education": draw.integers(5, 20, n),
        "apoe": draw.choice(["0", "1", "2"], n),
    }
    first_age = draw.normal(70, 8, n)
    sessions = [
        pd.DataFrame(
            {
                **people,
                "session_id": f"ses-M{month:03d}",
                "age": np.round(first_age + month / 12, 1),
                "diagnosis": np.array(["CN", "MCI", "AD"])[
                    np.minimum(stage + (draw.random(n) < month / 300), 2)
                ],
                "MMSE": draw.integers(15, 31, n),
                "cdr_global": draw.choice(["0", "0.5", "1"], n),
                "volume": np.round(draw.normal(size=n), 4),
            }
        )
        for month in MONTHS
    ]
    table = pd.concat(sessions).sample(frac=1, random_state=0)
    ids = ["participant_id", "session_id"]
    table = table[[*ids, *table.columns.drop(ids)]]
    table.to_csv(path, sep="\t", index=False)


def measured(folder: Path, *arguments: object) -> None:
    """Run one command, and print its seconds and the most memory that it held."""
    command = [sys.executable, "-m", "clinicadl", "tsvtools", *map(str, arguments)]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    name = " ".join(map(str, arguments))
    # Five folds and their test set hold 625,000 rows.
    goal = "" if "split_4" in name else "goal <= 10 s, 1 GB"
    print(f"{name[:70]:<70} {seconds:6.2f} s {usage.ru_maxrss * 1024 / 1e9:6.2f} GB  {goal}")


def main() -> None:
    """Measure every command on the same table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bids").mkdir()
        make(folder / "merged.tsv")
        horizon = ("get-progression", "labels/labels.tsv", "--time_horizon", 24)
        for arguments in (
            ("get-labels", "bids", "labels", "--merged_tsv", "merged.tsv", "-d", "AD", "CN", "MCI"),
            horizon,
            ("get-metadata", "labels/labels.tsv", "merged.tsv", "-voi", "site", "family", "MMSE"),
            ("restrict", "custom", "merged.tsv", "old.tsv", "--where", "age >= 62 and sex == 'F'"),
            ("split", "labels/labels.tsv", "--subset_name", "test", "--n_test", 0.2),
            ("check", "labels/split"),
            ("split", "labels/labels.tsv", "--n_test", 0.2, "--group_by", "family"),
            ("split", "labels/labels.tsv", "--n_test", 0.2, "-pa", 1, "--balance_by", "age", "sex",
             "site", "MMSE"),
            ("kfold", "labels/split/train.tsv"),
            ("kfold", "labels/split/train.tsv", "--group_by", "family"),
            ("prepare-experiment", "labels/labels.tsv", "--n_test", 0.2),
            ("analysis", "merged.tsv", "labels/labels.tsv", "summary.tsv", "--longitudinal"),
            ("analysis", "merged.tsv", "labels/split", "sets.tsv"),
            ("check", "labels/split_4"),
        ):  # fmt: skip
            measured(folder, *arguments)


if __name__ == "__main__":
    sys.exit(main())
