"""Which images with a known truth are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.preprocessing import PREPROCESSINGS, T1Linear


class GenerateConfig(Section):
    """What every generated CAPS has in common."""

    generated_caps_directory: Path = setting(..., "CAPS that is written")
    n_subjects: int = setting(300, "Participants of each of the two labels", ge=1)
    seed: int = setting(0, "Seed of everything that is drawn", ge=0, lt=2**32)
    n_proc: int = setting(2, "Processes", short="np", ge=1)


class FromImagesConfig(GenerateConfig):
    """Images made from those of a CAPS."""

    caps_directory: Path = setting(..., "CAPS whose images are changed")
    preprocessing: Annotated[
        Choice, from_table(PREPROCESSINGS, "clinicadl.preprocessings", default="t1-linear")
    ] = setting(T1Linear(), "Preprocessing whose images are taken")
    participants_tsv: Path | None = setting(
        None, "Table of the sessions (default: all of the CAPS)"
    )


class RandomConfig(FromImagesConfig):
    """One image and fresh noise: labels that nothing can learn."""

    mean: float = setting(0.0, "Mean of the noise, in units of the image", allow_inf_nan=False)
    sigma: float = setting(
        0.5, "Standard deviation of the noise, in units of the image", ge=0, allow_inf_nan=False
    )


class TrivialConfig(FromImagesConfig):
    """Half a brain darkened: labels that anything must learn."""

    mask_path: Path | None = setting(
        None, "Folder with mask-1.nii and mask-2.nii, or .nii.gz (default: the hemispheres)"
    )
    atrophy_percent: float = setting(60.0, "Darkening inside the mask", unit="%", ge=0, le=100)


class SheppLoganConfig(GenerateConfig):
    """Two-dimensional phantoms of three subtypes."""

    extract_json: str | None = setting(
        None, "Name of the extraction JSON (default: extract_<unix seconds>.json)", short="ej"
    )
    image_size: int = setting(128, "Edge of the image", unit="pixels", ge=32)
    cn_subtypes_distribution: tuple[float, float, float] = setting(
        (1.0, 0.0, 0.0), "Shares of the three subtypes in CN", short="csd"
    )
    ad_subtypes_distribution: tuple[float, float, float] = setting(
        (0.05, 0.85, 0.10), "Shares of the three subtypes in AD", short="asd"
    )
    smoothing: bool = setting(False, "Blur each image by a random amount")

    @field_validator("cn_subtypes_distribution", "ad_subtypes_distribution", mode="before")
    @classmethod
    def _has_three_shares(cls, shares: Any) -> Any:
        if isinstance(shares, list | tuple) and len(shares) != 3:
            raise ValueError(f"three shares are needed, not {len(shares)}")
        return shares

    @field_validator("cn_subtypes_distribution", "ad_subtypes_distribution")
    @classmethod
    def _is_distribution(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        # Written so that a share that is not a number is refused as well.
        if not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6):
            raise ValueError(
                f"the shares must not be negative and must sum to 1, not {sum(shares):g}"
            )
        return shares
