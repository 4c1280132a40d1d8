"""How long every ``--help`` takes: the goal is 0.30 s."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from clinicadl.cli.lazy import LazyGroup
from clinicadl.cli.main import root

GOAL = 0.30


def seconds(command: tuple[str, ...]) -> float:
    """Return the median wall time of a command's help."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "clinicadl", *command, "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - start)
    return median(times)


def bare() -> float:
    """Return the median wall time of Python itself."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Print a line a command; the floor is Python's own start."""
    from measure import line

    floor = bare()
    commands: list[tuple[str, ...]] = [()]
    for name in root.rows:
        commands.append((name,))
        group = root.get_command(None, name)
        if isinstance(group, LazyGroup):
            commands += [(name, below) for below in group.rows]
    for command in commands:
        name = " ".join(("clinicadl", *command, "--help"))
        line(name, seconds(command), floor, f"<= {GOAL:.2f} s")


if __name__ == "__main__":
    main()
