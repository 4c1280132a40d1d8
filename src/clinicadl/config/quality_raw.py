"""Which raw images are checked, and what counts."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import Section, setting
from clinicadl.config.jobs import Shard


class RawQualityConfig(Section):
    """The raw images of a BIDS data set, before anything is made of them."""

    bids_directory: Path = setting(..., "BIDS data set")
    output_tsv: Path = setting(
        ..., "Table of the sessions and whether they pass, to be made; two others get its name and "
        "_findings and _images",
    )  # fmt: skip
    modality: tuple[str, ...] = setting(
        (), "Suffixes of the images that are checked, such as T1w, FLAIR or pet (default: all)",
        short="mod",
    )  # fmt: skip
    ignore: tuple[str, ...] = setting((), "Checks that are left out")
    fail: tuple[str, ...] = setting(
        (), "Checks that only warn, and that a session fails by all the same"
    )
    participants_tsv: Path | None = setting(
        None, "Table of the sessions (default: all that there are)", short="tsv"
    )
    participant_label: tuple[str, ...] = setting(
        (), "Participants that are taken, of all or of the table; with or without sub-"
    )
    shard: Shard | None = setting(
        None, "K/N: of the sorted sessions every N-th from the K-th on, for N machines"
    )
    n_proc: int = setting(2, "Processes", short="np", ge=1)
    overwrite: bool = setting(False, "Replace the tables of before")
