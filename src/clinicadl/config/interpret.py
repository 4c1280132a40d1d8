"""What an interpretation of trained models reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import model_validator

from clinicadl.config.attributions import ATTRIBUTIONS, ATTRIBUTIONS_GROUP, Attribution, Gradients
from clinicadl.config.base import from_table, setting
from clinicadl.config.groups import GroupConfig


class InterpretConfig(GroupConfig):
    """The data group, the method, and what is kept."""

    method: Annotated[
        Attribution, from_table(ATTRIBUTIONS, ATTRIBUTIONS_GROUP, kind=Attribution)
    ] = setting(Gradients(), "How it is told what an output rests on")
    selection_metrics: tuple[str, ...] = setting(
        ("loss",), "Selection metrics whose best models are interpreted", short="sm"
    )
    target_node: int = setting(
        0, "Output that is explained: a class, or a label of a regression", ge=0
    )
    save_individual: bool = setting(False, "Keep the maps of each image, beside their mean")
    save_nifti: bool = setting(
        False, "Keep the maps as NIfTI too, parts put back to where they were in the image"
    )
    mask: Path | None = setting(
        None,
        "NIfTI of the voxels that are known to matter, against which maps are scored; or of each "
        "image: a folder, or a path with {participant_id} and {session_id}",
    )
    top_fraction: float | None = setting(
        None,
        "Share of the voxels that count as found (default: as many as the mask has)",
        gt=0,
        lt=1,
    )
    sanity: bool = setting(
        False, "Test whether the maps depend on the weights, and the output on what they show"
    )
    sanity_images: int = setting(
        16, "Images of these tests, evenly from the first of the group to the last", ge=1
    )
    shuffled_maps: Path | None = setting(
        None,
        "MAPS of the same experiment with --shuffle_labels: test whether the maps depend on the "
        "labels",
    )
    atlas: Path | None = setting(None, "NIfTI of regions: the mean map is averaged over each")
    atlas_labels: Path | None = setting(
        None, "Table of the names of the regions: index, name (default: their numbers)"
    )
    overwrite_name: bool = setting(False, "Replace the interpretation of this name", short="on")

    @model_validator(mode="after")
    def _asks_for_what_is_there(self) -> InterpretConfig:
        if self.atlas_labels is not None and self.atlas is None:
            raise ValueError("atlas_labels name the regions of an atlas, and there is no atlas")
        if self.top_fraction is not None and self.mask is None:
            raise ValueError("top_fraction is compared with a mask, and there is no mask")
        if self.shuffled_maps is not None and not self.sanity:
            raise ValueError("shuffled_maps is of a sanity test, and sanity was not asked for")
        return self
