"""Rows that go on, and rows that do not, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.tables import sessions

EXCLUDED = "excluded.tsv"
REASON = "reason"

_COLUMNS = [sessions.PARTICIPANT, sessions.SESSION, REASON]


@dataclass(frozen=True)
class Sieve:
    """A table of sessions on its way through some rules."""

    kept: pd.DataFrame
    """The rows that go on, as they were read; their index still tells their places."""
    excluded: pd.DataFrame
    """``participant_id``, ``session_id`` and ``reason`` of each of the others."""

    @property
    def n_read(self) -> int:
        """Number of rows before the first rule."""
        return len(self.kept) + len(self.excluded)


def begin(table: pd.DataFrame) -> Sieve:
    """Return a table of which nothing is excluded yet."""
    return Sieve(table, pd.DataFrame(columns=_COLUMNS, dtype=object))


def keep(one: Sieve, which: Sequence[bool] | NDArray[np.bool_], reason: str) -> Sieve:
    """Return the table with some of its rows, and the others with a reason.

    Parameters
    ----------
    one
        The table so far.
    which
        Whether each of the kept rows is still kept.
    reason
        Why the others are not; the same words for all, so that they are counted together.
    """
    stays = np.asarray(which, dtype=bool)
    gone = one.kept[~stays][_COLUMNS[:2]].assign(**{REASON: reason})
    # An empty part has no types, and would take those of the other away.
    parts = [part for part in (one.excluded, gone) if len(part)]
    excluded = pd.concat(parts, ignore_index=True) if parts else one.excluded
    return Sieve(one.kept[stays], excluded)


def counts(one: Sieve) -> dict[str, int]:
    """Return how many rows each reason excluded, in the order of the rules."""
    return {
        str(reason): int((one.excluded[REASON] == reason).sum())
        for reason in dict.fromkeys(one.excluded[REASON])
    }


def write(one: Sieve, path: Path) -> None:
    """Write the excluded rows, sorted; nothing is written where nothing was excluded."""
    if len(one.excluded):
        sessions.write(path, sessions.in_order(one.excluded))
