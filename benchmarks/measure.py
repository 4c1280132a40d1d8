"""How the benchmarks measure and print: ratios against a floor measured in the same run."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data"


def line(name: str, ours: float, floor: float, goal: str, *, unit: str = "s") -> None:
    """Print one result: name, ours, floor, their ratio, and what it should reach."""
    ratio = ours / floor if floor else float("nan")
    print(f"{name:<58} {ours:9.3f} {unit} {floor:9.3f} {unit}  ratio {ratio:6.3f}  goal {goal}")


def alone(script: str, *arguments: object) -> dict[str, float]:
    """Run a script in a process of its own and return the JSON of its last line."""
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    said = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if said.returncode:
        raise SystemExit(said.stderr)
    return dict(json.loads(said.stdout.splitlines()[-1]))


def peak_memory_gb() -> float:
    """Return the most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def interleaved(one, other, *, rounds: int) -> tuple[float, float]:
    """Return the median of both measures, taken in turn so that a busy machine slows both."""
    pairs = [(one(), other()) for _ in range(rounds)]
    return median(first for first, _ in pairs), median(second for _, second in pairs)
