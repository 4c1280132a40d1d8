"""Who looked at which data group, when, and with which models; which were sealed until then."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from clinicadl.layouts.files import write_text
from clinicadl.layouts.maps import names

SEAL: Literal["seal"] = "seal"
UNSEAL: Literal["unseal"] = "unseal"
LOOK: Literal["look"] = "look"
INTERPRETATION: Literal["interpretation"] = "interpretation"
"""A look that gives no number of how good a model is."""

Event = Literal["seal", "unseal", "look", "interpretation"]


class Entry(NamedTuple):
    """A line of the ledger."""

    group: str
    n_participants: int
    n_sessions: int
    models: str
    """Those that looked; none looks at a group that is sealed."""
    table_sha256: str
    accepted_leakage: str | None = None
    """Why a refusal of the guard was overridden."""
    event: Event = LOOK
    reason: str | None = None
    """Why a group was unsealed."""


COLUMNS = ("date", *Entry._fields)


def append(maps: Path, entry: Entry, *, date: str | None = None) -> None:
    """Append a line, before the first prediction: a look that failed is a look.

    Without a date it is now.
    """
    when = date or datetime.now().astimezone().isoformat(timespec="seconds")
    lines = [list(COLUMNS), *read(maps).astype(str).to_numpy().tolist(), [when, *entry]]
    text = ["\t".join(" ".join(_text(cell).split()) for cell in line) for line in lines]
    write_text(names.ledger(maps), "\n".join(text) + "\n")


def read(maps: Path) -> pd.DataFrame:
    """Return the lines, in their order, all cells as text; none where nobody looked.

    Lines of a time when there was nothing but looks are looks.
    """
    path = names.ledger(maps)
    if not path.exists():
        return pd.DataFrame(columns=[*COLUMNS])
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    added = {name: LOOK if name == "event" else "" for name in COLUMNS if name not in table.columns}
    return table.assign(**added)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
