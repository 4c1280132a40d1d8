"""Run every benchmark, one after another; each prints ``name  ours  floor  ratio  goal``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = (
    "help_time",
    "index",
    "extraction",
    "parts",
    "memory",
    "tables",
    "intervals",
    "winner",
    "similarity",
    "unpooling",
    "training_step",
    "epoch",
    "loop",
    "need",
    "predict_memory",
    "scaling",
    "half_precision",
    "report",
    "signatures",
    "quality",
    "preprocess",
    "pet",
)


def main() -> int:
    """Return 1 if a benchmark could not run; whether goals are met is for a person to read."""
    failed = 0
    for name in ORDER:
        print(f"# {name}", flush=True)
        failed |= subprocess.run([sys.executable, HERE / f"{name}.py"], check=False).returncode
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
