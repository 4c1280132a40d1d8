"""The report of a MAPS of 1,000 participants in its test group."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from epoch import make, use_mode
from measure import alone, line

N = 1_000


def measured(maps: Path) -> dict[str, float]:
    """Return the seconds of a report."""
    from clinicadl import ReportConfig, write_report

    begun = time.perf_counter()
    config = ReportConfig(maps_directory=maps, covariates_tsv=maps.parent / "people.tsv")
    page = write_report(config)
    seconds = time.perf_counter() - begun
    # It is a whole one, with the test group beside its baselines, and its subgroups.
    text = page.read_text()
    for wanted in ("Beside majority class", "Beside age + sex + site", "Subgroups of test"):
        assert wanted in text
    return {"seconds": seconds}


def enlarge(maps: Path) -> None:
    """Give a MAPS results on a test group of many, as its models might have had."""
    import pandas as pd

    from clinicadl.draws import generator
    from clinicadl.layouts.maps import folder, names

    stream = generator(0, "report")
    own, best = names.results(maps, 0, "loss", "validation"), names.best(maps, 0, "loss")
    who = [f"sub-T{number:04d}" for number in range(N)]
    share = stream.random(N)
    true = stream.integers(2, size=N)
    table = pd.DataFrame(
        {
            "participant_id": who, "session_id": "ses-M000", "image_id": 0, "true_label": true,
            "predicted_label": (share > 0.5).astype(int), "proba0": 1 - share, "proba1": share,
        }
    )  # fmt: skip
    group = folder.read_group(maps, "validation", 0)
    folder.write_group(maps, "test", table[["participant_id", "session_id"]].assign(
        cohort="single", diagnosis=np.where(true, "CN", "AD")
    ), group.origin, overwrite=False)  # fmt: skip
    shutil.copytree(own, best / "test")
    for path in [*(best / "test").glob("validation_*")]:
        path.rename(path.with_name(path.name.replace("validation", "test")))
    table.to_csv(names.predictions(best / "test", "image"), sep="\t", index=False)


def describe(maps: Path) -> None:
    """Write age, sex and site of everybody."""
    import pandas as pd

    from clinicadl.draws import generator
    from clinicadl.layouts.maps import folder

    stream = generator(0, "people")
    groups = [folder.read_group(maps, name, 0).table for name in ("train", "validation")]
    everybody = pd.concat([*groups, folder.read_group(maps, "test").table])
    everybody[["participant_id", "session_id"]].assign(
        age=stream.uniform(50, 90, len(everybody)).round(1),
        sex=stream.choice(["F", "M"], len(everybody)),
        site=stream.choice(["a", "b", "c"], len(everybody)),
    ).to_csv(maps.parent / "people.tsv", sep="\t", index=False)


def main() -> None:
    """Measure, and print."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]))))
        return
    from clinicadl import read_experiment, train

    with TemporaryDirectory() as folder:
        make(Path(folder), (16, 16, 16), 8, 4)
        use_mode(Path(folder), "image")
        data = {"caps_directory": folder, "preprocessing_json": "image", "tsv_directory": folder}
        config = read_experiment(
            {"data": data, "network": "Conv4_FC3", "compute": {"gpu": False},
             "optimization": {"epochs": 2, "batch_size": 4}}
        )  # fmt: skip
        maps = Path(folder) / "maps"
        train(config, maps)
        enlarge(maps)
        describe(maps)
        line(f"report of {N} participants", alone(__file__, maps)["seconds"], 0, "<= 10 s")


if __name__ == "__main__":
    main()
