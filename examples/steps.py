"""What the tutorials share: commands as a user types them, numbers with intervals, pictures."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.layouts.files import whole_file
from clinicadl.statistics import intervals

ROOT = Path(__file__).resolve().parents[1]
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#777777"
# These colours are told apart with any colour vision (Okabe and Ito, 2008).
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 130,
    "svg.hashsalt": "clinicadl",
}


class Estimate(NamedTuple):
    """A number and its 95 % interval over participants."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def run(command: str, *, expected: int = 0) -> str:
    """Print a command, run it with this very Python, and return what it said on standard error.

    Parameters
    ----------
    command
        As a user types it; begins with ``clinicadl`` or ``python``.
    expected
        Its exit code. What a command that is refused says is printed.

    Raises
    ------
    SystemExit
        It ended with another exit code; with that code, or 1.
    """
    print(f"$ {command}", flush=True)
    program, *words = shlex.split(command)
    code, said = ended(words if program == "python" else ["-m", program, *words])
    if code != expected:
        print(f"{said}\nexit code {code}, not {expected}", file=sys.stderr)
        sys.exit(code or 1)
    if expected:
        print(f"{said.strip()}\n(exit code {expected})", flush=True)
    return said


def ended(words: Sequence[str]) -> tuple[int, str]:
    """Run Python with these words; return its exit code, and what it said on standard error."""
    said = subprocess.run([sys.executable, *words], check=False, stderr=subprocess.PIPE, text=True)
    return said.returncode, said.stderr


def occupied(folder: Path) -> bool:
    """Return whether there is something at the folder, and say so."""
    if folder.exists():
        print(f"There is something at {folder}: remove it, or give another --folder")
    return folder.exists()


def table(path: Path) -> pd.DataFrame:
    """Return a table of a MAPS or of a CAPS."""
    return pd.read_csv(path, sep="\t")


def metric(path: Path, name: str) -> Estimate:
    """Return a metric of a metrics table, with its interval."""
    column = pd.read_csv(path, sep="\t", index_col=0)[name].astype(float)
    return Estimate(column["Values"], column["Lower bound CI"], column["Upper bound CI"])


def estimate(
    statistic: Callable[[NDArray[np.intp]], float], n_participants: int, *, seed: int = 0
) -> Estimate:
    """Return a statistic of rows, one a participant, with its interval by the bootstrap.

    Parameters
    ----------
    statistic
        Given the numbers of the rows that were drawn, some of them several times.
    n_participants
        Number of rows.
    seed
        Of what is drawn.
    """
    rows = np.arange(n_participants)
    drawn = [
        statistic(np.repeat(rows, times.astype(int)))
        for block in intervals.resamples(seed, n_participants, 3000)
        for times in block
    ]
    found = intervals.percentiles(np.array(drawn))
    return Estimate(statistic(rows), found.low, found.high)


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG; the same numbers are the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    mpl.pyplot.close(figure)
    print(f"The picture is {path}")
