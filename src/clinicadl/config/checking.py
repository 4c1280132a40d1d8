"""Which sessions a quality check takes."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import Section, setting
from clinicadl.config.jobs import Shard


class Checking(Section):
    """What the quality checks of images have in common."""

    participants_tsv: Path | None = setting(
        None, "Table of the sessions (default: all that have an image)", short="tsv"
    )
    participant_label: tuple[str, ...] = setting(
        (), "Participants that are taken, of all or of the table; with or without sub-"
    )
    shard: Shard | None = setting(
        None, "K/N: of the sorted sessions every N-th from the K-th on, for N machines"
    )
    n_proc: int = setting(2, "Processes", short="np", ge=1)
    overwrite: bool = setting(False, "Replace the tables of before")
