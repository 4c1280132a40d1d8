"""What an evaluation of a trained model reads."""

from __future__ import annotations

from clinicadl.config.base import setting
from clinicadl.config.groups import GroupConfig


class PredictConfig(GroupConfig):
    """The data group, and what is compared and kept."""

    use_labels: bool = setting(True, "Compare with the label and write metrics", off="no-labels")
    label: tuple[str, ...] = setting(
        (), "Columns that hold what was learnt (default: those of training)"
    )
    save_tensor: bool = setting(False, "Keep what a reconstruction gets and gives back as tensors")
    save_nifti: bool = setting(False, "Keep the same as NIfTI, parts put together to images")
