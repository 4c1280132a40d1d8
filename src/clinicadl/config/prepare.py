"""What prepare-data and prepare-data-from-bids read and write."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated

from pydantic import field_validator, model_validator

from clinicadl.config.base import Choice, from_table, setting
from clinicadl.config.jobs import PerImage
from clinicadl.config.mode import MODES, MODES_GROUP, ImageMode, RoiMode
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.config.raw import RAW, RAW_GROUP, Interpolation, Raw


class Preparing(PerImage):
    """From images to tensors, wherever the images lie."""

    caps_directory: Path = setting(..., "CAPS that gets the tensors")
    preprocessing: Choice = setting(..., "Which images are taken", flag="modality")
    mode: Annotated[Choice, from_table(MODES, MODES_GROUP)] = setting(
        ImageMode(), "Which parts of an image the network gets"
    )
    save_features: bool = setting(
        False, "Store a tensor for each part instead of one for the image"
    )
    extract_json: str | None = setting(
        None, "Name of the extraction JSON (default: extract_<unix seconds>.json)", short="ej"
    )

    @model_validator(mode="after")
    def _agree(self) -> Preparing:
        submitted = self.jobs.submit is not None
        if (submitted or self.shard is not None) and self.extract_json is None:
            said = "--submit" if submitted else "--shard"
            raise ValueError(f"all shards must write the same JSON: {said} needs --extract_json")
        if self.save_features and isinstance(self.mode, ImageMode):
            raise ValueError("--save_features means parts, and an image is stored whole")
        if self.save_features and isinstance(self.mode, RoiMode) and not self.mode.roi_list:
            raise ValueError("--save_features needs --roi_list: regions are stored by their masks")
        return self


class PrepareConfig(Preparing):
    """From the preprocessed images of a CAPS to tensors."""

    command = "prepare-data"
    arguments = ("mode", "caps_directory", "preprocessing")

    caps_directory: Path = setting(..., "CAPS that holds the images and gets the tensors")
    preprocessing: Annotated[Choice, from_table(PREPROCESSINGS, "clinicadl.preprocessings")] = (
        setting(..., "Preprocessing whose images are taken", flag="modality")
    )


class PrepareFromBidsConfig(Preparing):
    """From the raw images of a BIDS data set to tensors in a CAPS."""

    command = "prepare-data-from-bids"
    arguments = ("mode", "bids_directory", "caps_directory", "preprocessing")

    bids_directory: Path = setting(..., "BIDS data set that holds the images")
    preprocessing: Annotated[Raw, from_table(RAW, RAW_GROUP)] = setting(
        ..., "Modality whose images are taken", flag="modality"
    )
    voxel_size: tuple[float, ...] = setting(
        (), "Edges of a voxel of the grid along the axes of the world (RAS+); one number is all",
        unit="mm",
    )  # fmt: skip
    grid_size: tuple[int, ...] = setting(
        (), "Voxels of the grid along these axes, around the centre of each image; one number is "
        "all", unit="voxels",
    )  # fmt: skip
    like: Path | None = setting(None, "NIfTI image whose grid, at its place, the images are put on")
    interpolation: Interpolation = setting(
        "linear", "How values between voxels are found when a grid is stated"
    )

    @field_validator("voxel_size", "grid_size")
    @classmethod
    def _are_three_extents(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if len(given) not in (0, 1, 3):
            raise ValueError(f"one number or three are needed, not {len(given)}")
        if not all(isfinite(one) and one > 0 for one in given):
            raise ValueError("each number must be above 0")
        return given * 3 if len(given) == 1 else given

    @model_validator(mode="after")
    def _state_one_grid(self) -> PrepareFromBidsConfig:
        if bool(self.voxel_size) != bool(self.grid_size):
            raise ValueError("--voxel_size and --grid_size state a grid together")
        if self.like is not None and self.voxel_size:
            raise ValueError("--like states a grid, and so do --voxel_size and --grid_size")
        stated = self.like is not None or bool(self.voxel_size)
        if not stated and self.interpolation != "linear":
            raise ValueError("--interpolation means nothing without --like or --voxel_size")
        return self

    @field_validator("preprocessing")
    @classmethod
    def _is_raw(cls, row: Raw) -> Raw:
        # A row of another table is a row too, and says so only here.
        if not isinstance(row, Raw):
            raise ValueError(f"a data set has raw images: {', '.join(RAW)}")
        if row.grid is not None:
            raise ValueError("a grid is stated by voxel_size and grid_size, or by like")
        return row
