"""What an evaluation of a trained model reads."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from clinicadl.config.base import setting
from clinicadl.config.groups import GroupConfig


class PredictConfig(GroupConfig):
    """The data group, and what is compared and kept."""

    use_labels: bool = setting(True, "Compare with the label and write metrics", off="no-labels")
    label: tuple[str, ...] = setting(
        (), "Columns that hold what was learnt (default: those of training)"
    )
    seal: bool = setting(
        False, "Define the data group and look at nobody: it can then be evaluated once"
    )
    unseal: str | None = setting(
        None, "Evaluate a sealed data group, once: why now, which the ledger keeps", min_length=1
    )
    ensemble: bool = setting(
        False, "Let the models of all splits speak together, after each has spoken alone"
    )
    ensemble_weights: Literal["equal", "validation"] = setting(
        "equal", "What each split has to say in the ensemble: the same, or as it did on validation"
    )
    save_tensor: bool = setting(False, "Keep what a reconstruction gets and gives back as tensors")
    save_nifti: bool = setting(False, "Keep the same as NIfTI, parts put together to images")
    save_latent_tensor: bool = setting(False, "Keep the codes of an autoencoder as tensors")

    @model_validator(mode="after")
    def _seals_or_looks(self) -> PredictConfig:
        looks = (
            self.unseal, self.ensemble, self.split, self.selection_metrics,
            self.save_tensor, self.save_nifti, self.save_latent_tensor,
        )  # fmt: skip
        if self.seal and any(looks):
            raise ValueError(
                "seal looks at nobody: leave out what says who looks, and what is kept"
            )
        if self.ensemble_weights != "equal" and not self.ensemble:
            raise ValueError("ensemble_weights weigh an ensemble: add ensemble")
        if self.unseal and self.overwrite:
            raise ValueError("unseal evaluates the group that was sealed: overwrite makes another")
        return self
