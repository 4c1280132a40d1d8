"""Which raw images are checked, and what counts."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import setting
from clinicadl.config.checking import Checking


class RawQualityConfig(Checking):
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
    page: Path | None = setting(
        None, "Page of pictures of the images, those with findings first (.html)"
    )
