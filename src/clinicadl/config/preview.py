"""What a preview shows."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.config.transforms import TransformsConfig


class PreviewConfig(Section):
    """A picture of a few samples, before a network sees them."""

    caps_directory: Path = setting(..., "CAPS that holds the tensors")
    preprocessing_json: str = setting(
        ..., "Extraction JSON: its path, or its name in the CAPS (tensor_extraction/)"
    )
    output_png: Path = setting(..., "PNG to be made")
    participants_tsv: Path | None = setting(
        None,
        "Table of the sessions (default: those of the CAPS that have tensors)",
        flag="subjects_sessions_tsv",
        short="tsv",
    )
    n_samples: int = setting(
        4, "Sessions that are shown, taken evenly from the sorted ones", ge=1, le=50
    )
    epoch: int = setting(0, "Epoch whose augmentation is shown", ge=0)
    transforms: TransformsConfig = TransformsConfig()
    reproducibility: ReproducibilityConfig = ReproducibilityConfig()
    overwrite: bool = setting(False, "Replace the PNG of before")

    @field_validator("output_png")
    @classmethod
    def _is_a_png(cls, path: Path) -> Path:
        if path.suffix.lower() != ".png":
            raise ValueError("the picture is a PNG: its name ends in .png")
        return path

    @model_validator(mode="after")
    def _epoch_has_an_effect(self) -> PreviewConfig:
        if self.epoch and not self.transforms.augmentation:
            raise ValueError("epoch means nothing without data_augmentation")
        return self
