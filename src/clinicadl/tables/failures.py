"""Images that a command over many images could not use: their table, and how the command ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clinicadl.errors import ClinicaDLError, InvalidDataError, PartialError, listed
from clinicadl.layouts import files
from clinicadl.tables import sessions

Failed = tuple[tuple[str, str], ClinicaDLError]
"""A participant's session, and what was wrong with its image."""


def write(path: Path, failed: Sequence[Failed]) -> None:
    """Write the table of the images that failed, with the reasons; without any, there is none.

    Raises
    ------
    OutputError
        The table cannot be written, or that of before not removed.
    """
    if not failed:
        with files.writing(path):
            path.unlink(missing_ok=True)
        return
    rows = [(*session, _line(error)) for session, error in failed]
    columns = [sessions.PARTICIPANT, sessions.SESSION, "reason"]
    sessions.write(path, pd.DataFrame(rows, columns=columns))


def refuse_all(path: Path, failed: Sequence[Failed], n_images: int) -> None:
    """End a command that has nothing to show, once its table of failures is written.

    Raises
    ------
    InvalidDataError
        Every image failed.
    """
    if failed and len(failed) == n_images:
        raise InvalidDataError(
            f"None of the {n_images} images can be used; the reasons are",
            where=path, found=f"first: {_line(failed[0][1])}",
            fix="Mend them, then run the same command again",
        )  # fmt: skip


def refuse_some(path: Path, failed: Sequence[Failed], n_images: int) -> None:
    """Say which images were skipped, once all that can be made is.

    Raises
    ------
    PartialError
        Some images failed.
    """
    if failed:
        raise PartialError(
            f"{len(failed)} of {n_images} images were skipped; the reasons are",
            where=path, found=listed(" | ".join(session) for session, _ in failed),
            fix="Mend them and run the same command again, or leave them out of the tables",
        )  # fmt: skip


def _line(error: ClinicaDLError) -> str:
    """Return an error on one line: that of a library may hold tabs and line ends."""
    return " ".join(str(error).split())
