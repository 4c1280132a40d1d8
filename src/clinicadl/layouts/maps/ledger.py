"""Who looked at which data group, when, and with which models."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

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
) -> None:
    """Append one look to the ledger, before the first prediction: a look that failed is a look."""
    path = names.ledger(maps)
    old = path.read_text(encoding="utf-8") if path.exists() else "\t".join(COLUMNS) + "\n"
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    reason = " ".join((accepted or "").split())
    row = (now, group, n_participants, n_sessions, models, table_sha256, reason)
    write_text(path, old + "\t".join(str(cell) for cell in row) + "\n")
