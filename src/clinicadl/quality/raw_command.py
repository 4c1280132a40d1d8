"""The check of raw images as a whole, from the plan to the page."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.quality_raw import RawQualityConfig
from clinicadl.quality import raw_page
from clinicadl.quality.raw import judged, look, plan, refuse_unseen, write


def quality_check_raw(config: RawQualityConfig) -> Path:
    """Write which sessions of a BIDS data set have sound images, and what is wrong with the others.

    Parameters
    ----------
    config
        The data set, and which of its images are checked for what.

    Returns
    -------
    The table of the sessions.

    Raises
    ------
    UsageError
        A check has another name, or the table is none.
    MissingInputError
        There is no image, or a participant is not known.
    InvalidDataError
        This is no BIDS data set, or the table of sessions is wrong.
    OutputError
        A table exists, or cannot be written.
    PartialError
        Some files could not be looked at; the tables are written.
    """
    planned = plan(config)
    verdict = judged(planned, look(planned))
    write(planned, verdict)
    if config.page is not None:
        raw_page.write(config.page, planned, verdict, list(raw_page.draw(planned, verdict)))
    refuse_unseen(planned, verdict)
    return config.output_tsv
