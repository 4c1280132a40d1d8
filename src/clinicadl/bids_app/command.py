"""What the command does, as one function."""

from __future__ import annotations

from pathlib import Path

from clinicadl.bids_app import group, participant
from clinicadl.config.bids_app import BidsAppConfig
from clinicadl.layouts import derivatives


def run_bids_app(config: BidsAppConfig) -> Path:
    """Register, judge and show the images of participants, or gather what was found of all.

    Parameters
    ----------
    config
        The data set, the folder of derivatives, the level, and who is taken.

    Returns
    -------
    The CAPS of the registered images at the level participant, the page at the level group.

    Raises
    ------
    PartialError
        Some images could not be used, or some sessions have no result; the others are done.
    ClinicaDLError
        The data set, the folder, the template or the model is wrong or missing, or the model has
        seen some of the participants.
    """
    if config.analysis_level == "group":
        return group.run(group.plan(config))
    for _ in participant.run(participant.plan(config)):
        pass
    return derivatives.caps(config.output_directory)
