"""What an interpretation of trained models reads."""

from __future__ import annotations

from typing import Annotated

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
    overwrite_name: bool = setting(False, "Replace the interpretation of this name", short="on")
