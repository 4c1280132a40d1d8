"""What the maps of a model are worth, in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import pandas as pd

from clinicadl.attribution.sanity import DELETION
from clinicadl.layouts import tsv
from clinicadl.layouts.maps import names


def judged(folder: Path) -> Iterator[str]:
    """Yield what the tables of an interpretation say, as far as there are any.

    Parameters
    ----------
    folder
        Of the interpretation.
    """
    scores, sanity = (names.judged(folder, what) for what in ("scores_mean", "sanity"))
    if scores.is_file():
        for row in tsv.read(scores, "scores").to_dict("records"):
            value, low, high, chance = (float(row[k]) for k in ("mean", "low", "high", "by_chance"))
            limits = f" [{low:.3f}, {high:.3f}]" if isfinite(low) else ""
            yield f"{row['score']} {value:.3f}{limits} by chance {chance:.3f}"
    if sanity.is_file():
        yield from _sanity(tsv.read(sanity, "sanity tests"))


def _sanity(table: pd.DataFrame) -> Iterator[str]:
    """Yield a line a test and network; of weights the one with all weights random."""
    for (network, test), rows in table.groupby(["network", "test"], sort=False):
        values, chances = (rows[name].astype(float) for name in ("value", "by_chance"))
        said = f"sanity, network {network}, {test}:"
        if test == DELETION:
            yield f"{said} change of the output {values.mean():.3f}, elsewhere {chances.mean():.3f}"
        else:
            yield f"{said} rank correlation {values.iloc[-1]:.2f}"
