"""Trainings that a search ended early, because they fell behind others."""

from __future__ import annotations

from pathlib import Path

from clinicadl.errors import UsageError
from clinicadl.layouts.files import read_json, write_json
from clinicadl.layouts.maps import names

_REASON = "reason"


def mark(maps: Path, reason: str) -> None:
    """Write that a training was ended early, and why."""
    write_json(names.pruned(maps), {_REASON: reason})


def remove(maps: Path) -> None:
    """Take the mark away, because the training goes on."""
    names.pruned(maps).unlink(missing_ok=True)


def reason(maps: Path) -> str | None:
    """Return why a training was ended early; None where it was not."""
    path = names.pruned(maps)
    return str(read_json(path, "mark of a pruned training")[_REASON]) if path.exists() else None


def refuse(maps: Path) -> None:
    """Refuse a MAPS whose training was ended early: its models are not what they would become.

    Raises
    ------
    UsageError
        It was.
    """
    why = reason(maps)
    if why is not None:
        raise UsageError(
            "The training was pruned, so its models are not what they would have become",
            where=maps, found=why, fix=f"Train it to its end with: clinicadl train resume {maps}",
        )  # fmt: skip
