"""Two processes on two cores that train together, against one process on both cores.

One process uses both cores in each operation already, so that two are of no use but for what they
lose: the gradients that they exchange, the batches that they normalize together, and the last
batch, which does not divide evenly. On a machine of several GPUs the same run is the gain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from epoch import make, use_mode
from measure import line


def seconds(folder: Path, world: int, strategy: str) -> float:
    """Return the seconds of an epoch, the first one apart."""
    import pandas as pd

    content = {
        "data": {
            "caps_directory": str(folder), "preprocessing_json": "image",
            "tsv_directory": str(folder),
        },
        "optimization": {"epochs": 4, "batch_size": 8 // world},
        "compute": {"gpu": False, "strategy": strategy},
    }  # fmt: skip
    with TemporaryDirectory() as output:
        file, maps = Path(output) / "experiment.json", Path(output) / "maps"
        file.write_text(json.dumps({"config": content}))
        words = ["-m", "clinicadl", "train", "from-json", file, maps]
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", world]
        command = [sys.executable, *(launch if world > 1 else ()), *words]
        threads = str(max((os.cpu_count() or 1) // world, 1))
        said = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )  # fmt: skip
        if said.returncode:
            raise SystemExit(said.stderr)
        times = pd.read_csv(maps / "split-0" / "training_logs" / "training.tsv", sep="\t")["time"]
    return float(times.iloc[-1] - times.iloc[0]) / (len(times) - 1)


def main() -> None:
    """Measure both ways to share, and print."""
    for shape, name in (((42, 52, 44), "42x52x44"), ((84, 104, 89), "84x104x89")):
        with TemporaryDirectory() as folder:
            make(Path(folder), shape, 80, 16)
            use_mode(Path(folder), "image")
            one = seconds(Path(folder), 1, "ddp")
            for strategy in ("ddp", "fsdp"):
                two = seconds(Path(folder), 2, strategy)
                line(f"epoch, 96 x {name}, 2 processes ({strategy})", two, one, "none: 2 cores")


if __name__ == "__main__":
    main()
