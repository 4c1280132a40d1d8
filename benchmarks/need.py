"""Memory of training: what is foretold, against what a training then holds at its peak.

Each case trains some batches in a process of its own, with ``--memory lean``: the allocator then
gives back what is freed. With and without blocks that are computed again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from epoch import make, use_mode
from measure import alone, line, peak_memory_gb

CASES = {
    "Conv5_FC3": ((169, 208, 179), 2),
    "ResNet18_3D": ((84, 104, 89), 4),
    "DenseNet121_3D": ((84, 104, 89), 4),
    "UNet": ((84, 104, 89), 2),
}
"""Network -> shape of its images, and batch size."""


def measured(folder: Path, name: str, batch_size: int, again: bool) -> dict[str, float]:
    """Train an epoch, and return what was foretold and what was held, in GB, and the seconds."""
    from clinicadl import read_experiment, train
    from clinicadl.engine import plan
    from clinicadl.engine.events import BatchDone

    config = read_experiment(
        {
            "data": {
                "caps_directory": folder, "preprocessing_json": "image", "tsv_directory": folder,
            },
            "task": "reconstruction" if name == "UNet" else "classification",
            "network": name,
            "optimization": {"epochs": 1, "batch_size": batch_size},
            "compute": {"gpu": False, "memory": "lean", "activation_checkpointing": again},
        }
    )  # fmt: skip
    times: list[float] = []

    def watch(event) -> None:
        import time

        if isinstance(event, BatchDone):
            times.append(time.perf_counter())

    with TemporaryDirectory() as output:
        train(config, Path(output) / "maps", observers=[watch])
    return {
        "foretold": plan.plan(config).needed.total / 1e9,
        "held": peak_memory_gb(),
        "step": (times[-1] - times[0]) / (len(times) - 1),
    }


def main() -> None:
    """Measure every case, and print."""
    if len(sys.argv) > 1:
        folder, name, batch_size, again = sys.argv[1:]
        print(json.dumps(measured(Path(folder), name, int(batch_size), again == "True")))
        return
    for name, (shape, batch_size) in CASES.items():
        with TemporaryDirectory() as folder:
            make(Path(folder), shape, 3 * batch_size, 2)
            use_mode(Path(folder), "image")
            found = {
                again: alone(__file__, folder, name, batch_size, again) for again in (False, True)
            }
        size = "x".join(map(str, shape))
        for again, one in found.items():
            how = ", blocks again" if again else ""
            what = f"memory foretold and held, {name} {size}, {batch_size}{how}"
            line(what, one["foretold"], one["held"], "0.9 to 1.3", unit="GB")
        plain, again = found[False], found[True]
        line(f"memory of {name}, blocks again", again["held"], plain["held"], "below 1", unit="GB")
        line(f"a step of {name}, blocks again", again["step"], plain["step"], "none")


if __name__ == "__main__":
    main()
