"""What bids-app reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from clinicadl.config.base import Section, setting

AnalysisLevel = Literal["participant", "group"]

_OF_PARTICIPANTS = (
    "model", "ensemble", "skull_stripped", "template", "gpu", "accept_leakage",
    "work_directory", "overwrite",
)  # fmt: skip
"""Settings that mean nothing to the group level."""


class BidsAppConfig(Section):
    """From the T1-weighted images of a BIDS data set to images in MNI space, judged and shown."""

    bids_directory: Path = setting(..., "BIDS data set that holds the images")
    output_directory: Path = setting(..., "Folder of derivatives that is made, or gone on with")
    analysis_level: AnalysisLevel = setting(
        ..., "participant: each by itself; group: tables and a page of all that are done"
    )
    participant_label: tuple[str, ...] = setting(
        (), "Participants that are taken, of all; with or without sub-"
    )
    session_label: tuple[str, ...] = setting(
        (), "Sessions that are taken, of all; with or without ses-"
    )
    model: Path | None = setting(
        None, "MAPS whose models say something of each image; it is only read"
    )
    ensemble: bool = setting(
        False, "Let the models of all splits speak together, after each has spoken alone"
    )
    skull_stripped: bool | None = setting(
        None,
        "Whether the images show brains alone, or whole heads (default: found out for each image)",
        off="whole-head",
    )
    template: Path | None = setting(
        None, "T1-weighted template of the whole head, in MNI space, that heads are matched with"
    )
    work_directory: Path | None = setting(
        None, "Folder for what is needed for a while (default: that of the system)",
        flag="work_dir", short="w",
    )  # fmt: skip
    skip_bids_validator: bool = setting(
        False, "Take a data set that the BIDS validator refuses", off="bids-validator"
    )
    n_proc: int = setting(2, "Processes", flag="n_cpus", short="np", ge=1)
    gpu: bool | None = setting(None, "Let models compute on a GPU (default: where there is one)")
    accept_leakage: str | None = setting(
        None,
        "Go on though the model has seen these participants: the reason, which is written beside "
        "what it says",
        min_length=1,
    )
    overwrite: bool = setting(False, "Make again what is there already")

    @model_validator(mode="after")
    def _agree(self) -> BidsAppConfig:
        if self.analysis_level == "group":
            given = [
                name
                for name in _OF_PARTICIPANTS
                if getattr(self, name) != type(self).model_fields[name].default
            ]
            if given:
                raise ValueError(f"{given[0]} means nothing to the group level")
        of_model = (self.ensemble, self.gpu is not None, self.accept_leakage is not None)
        if self.model is None and any(of_model):
            raise ValueError("ensemble, gpu and accept_leakage mean nothing without a model")
        if self.template is not None and self.skull_stripped:
            raise ValueError("--template shows a head, which a brain alone cannot be matched with")
        return self
