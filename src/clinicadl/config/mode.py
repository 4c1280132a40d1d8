"""Which parts of an image the network gets."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import field_validator

from clinicadl.config.base import Choice, setting

_ROI = re.compile(r"[\w.+-]+")


class ImageMode(Choice):
    """The whole image."""

    builds: ClassVar[str] = "clinicadl.data.parts:whole"
    name: Literal["image"] = "image"


class PatchMode(Choice):
    """Cubes on a regular grid."""

    builds: ClassVar[str] = "clinicadl.data.parts:patches"
    name: Literal["patch"] = "patch"
    patch_size: int = setting(50, "Edge of the cube", unit="voxels", short="ps", ge=1)
    stride_size: int = setting(
        50, "Distance between neighbouring cubes", unit="voxels", short="ss", ge=1
    )
    pad: bool = setting(False, "Cover the far border as well, with zeros behind the image")


class RoiMode(Choice):
    """Regions of interest, each given by a mask."""

    builds: ClassVar[str] = "clinicadl.data.parts:rois"
    name: Literal["roi"] = "roi"
    roi_list: tuple[str, ...] = setting(
        (), "Regions, as in the names of the masks; of t1-linear none means both hippocampi"
    )
    uncropped_roi: bool = setting(
        False, "Keep the grid of the image around a region, not its bounding box alone"
    )
    roi_custom_template: str = setting(
        "", "Template of the masks, as in masks/tpl-<template>; of custom and raw images",
        short="ct", pattern="^[A-Za-z0-9]*$",
    )  # fmt: skip
    roi_custom_mask_pattern: str = setting(
        "",
        "What the names of the masks of custom and raw images hold",
        short="cmp",
        pattern="^[^/]*$",
    )

    @field_validator("roi_list")
    @classmethod
    def _are_names(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [region for region in regions if not _ROI.fullmatch(region)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} cannot stand in the name of a mask")
        if len(set(regions)) < len(regions):
            raise ValueError("a region is listed twice")
        return regions


class SliceMode(Choice):
    """Slices along one axis."""

    builds: ClassVar[str] = "clinicadl.data.parts:slices"
    name: Literal["slice"] = "slice"
    slice_direction: int = setting(
        0, "Axis across the slices: 0 sagittal, 1 coronal, 2 axial", short="sd", ge=0, le=2
    )
    slice_mode: Literal["rgb", "single"] = setting(
        "rgb", "Three identical channels, or one", short="sm"
    )
    discarded_slices: tuple[int, ...] = setting(
        (0, 0), "Slices left out at the beginning and at the end; one number is both",
        short="ds", min_length=1, max_length=2,
    )  # fmt: skip
    num_slices: int | None = setting(
        None, "Slices that are taken, from the first that is not left out (default: all)", ge=1
    )

    @field_validator("discarded_slices")
    @classmethod
    def _are_counts(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if min(counts) < 0:
            raise ValueError("a number of slices is not below 0")
        return counts


MODES: dict[str, type[Choice]] = {
    "image": ImageMode,
    "patch": PatchMode,
    "roi": RoiMode,
    "slice": SliceMode,
}
MODES_GROUP = "clinicadl.modes"
"""Entry points under which other packages declare modes."""
