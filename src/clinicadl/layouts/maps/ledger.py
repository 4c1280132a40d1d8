"""Who looked at which data group, when, and with which models."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd

from clinicadl.layouts.files import write_text
from clinicadl.layouts.maps import names

COLUMNS = (
    "date", "group", "n_participants", "n_sessions", "models", "table_sha256", "accepted_leakage",
)  # fmt: skip


def look(
    maps: Path,
    group: str,
    *,
    n_participants: int,
    n_sessions: int,
    models: str,
    table_sha256: str,
    accepted: str | None,
    date: str | None = None,
) -> None:
    """Append one look to the ledger, before the first prediction: a look that failed is a look.

    Without a date it is now.
    """
    path = names.ledger(maps)
    old = path.read_text(encoding="utf-8") if path.exists() else "\t".join(COLUMNS) + "\n"
    when = date or datetime.now().astimezone().isoformat(timespec="seconds")
    reason = " ".join((accepted or "").split())
    row = (when, group, n_participants, n_sessions, models, table_sha256, reason)
    write_text(path, old + "\t".join(str(cell) for cell in row) + "\n")


def read(maps: Path) -> pd.DataFrame:
    """Return the looks, in their order, all cells as text; no row where nobody looked."""
    path = names.ledger(maps)
    if not path.exists():
        return pd.DataFrame(columns=[*COLUMNS])
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
