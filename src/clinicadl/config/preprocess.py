"""What preprocess reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.base import setting
from clinicadl.config.jobs import PerImage

LinearName = Literal["t1-linear", "flair-linear", "t2-linear"]


class PreprocessConfig(PerImage):
    """From the images of a BIDS data set to those of a CAPS."""

    command = "preprocess"
    arguments = ("pipeline", "bids_directory", "caps_directory")

    pipeline: str = setting(..., "What is done")
    bids_directory: Path = setting(..., "BIDS data set that holds the images")
    caps_directory: Path = setting(..., "CAPS that gets the registered images")
    overwrite: bool = setting(False, "Make again what is there already")


class PreprocessLinearConfig(PreprocessConfig):
    """Bias field, one affine to MNI, and a crop."""

    pipelines: ClassVar[tuple[str, ...]] = ("t1-linear", "flair-linear", "t2-linear")

    pipeline: LinearName = setting(..., "Which images are taken")
    template: Path | None = setting(
        None,
        "T1-weighted template of the whole head, in MNI space; heads are then matched with it "
        "(default: brains are matched with the brain that nilearn brings along)",
    )
    skull_stripped: bool | None = setting(
        None,
        "Whether the images show brains alone, or whole heads (default: found out for each image)",
        off="whole-head",
    )

    @model_validator(mode="after")
    def _match_like_with_like(self) -> PreprocessLinearConfig:
        if self.template is not None and self.skull_stripped:
            raise ValueError("--template shows a head, which a brain alone cannot be matched with")
        return self
