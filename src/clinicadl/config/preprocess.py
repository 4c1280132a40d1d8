"""What preprocess reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.base import setting
from clinicadl.config.jobs import PerImage
from clinicadl.config.preprocessing import SuvrRegion

LinearName = Literal["t1-linear", "flair-linear", "t2-linear"]


class PreprocessConfig(PerImage):
    """From the images of a BIDS data set to those of a CAPS."""

    command = "preprocess"
    arguments: ClassVar[tuple[str, ...]] = ("pipeline", "bids_directory", "caps_directory")

    pipeline: str = setting(..., "What is done")
    bids_directory: Path = setting(..., "BIDS data set that holds the images")
    caps_directory: Path = setting(..., "CAPS that gets the registered images")
    overwrite: bool = setting(False, "Make again what is there already")

    @property
    def title(self) -> str:
        """What pages and tables are named after."""
        return self.pipeline


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


class PreprocessPetConfig(PreprocessConfig):
    """Rigidly to the T1-weighted image, by that to MNI, relative to a region, and a crop."""

    arguments = (
        "pipeline", "bids_directory", "caps_directory", "tracer", "suvr_reference_region",
    )  # fmt: skip

    pipeline: Literal["pet-linear"] = setting("pet-linear", "Which images are taken")
    tracer: str = setting(
        ..., "Tracer, as in the file names: 18FFDG, 18FAV45, ...", pattern="^[A-Za-z0-9]+$"
    )
    suvr_reference_region: SuvrRegion = setting(..., "Name of the reference region of the SUVR")
    reference_mask: Path = setting(
        ..., "Mask of that region in MNI space, on any grid: its voxels are not 0"
    )
    reconstruction: str | None = setting(
        None, "Reconstruction, as in the file names (rec-<rec>)",
        flag="rec", pattern="^[A-Za-z0-9]+$",
    )  # fmt: skip

    @property
    def title(self) -> str:
        """What pages and tables are named after."""
        return f"{self.pipeline}_trc-{self.tracer}_suvr-{self.suvr_reference_region}"
