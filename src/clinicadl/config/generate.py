"""Which images with a known truth are made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, field_validator, model_validator

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.preprocessing import PREPROCESSINGS, PetLinear, T1Linear


def _n_subjects() -> Any:
    return setting(300, "Participants of each of the two labels", ge=1)


def _has(count: int, values: Any, *, of: str = "values") -> Any:
    if isinstance(values, list | tuple) and len(values) != count:
        word = {2: "two", 3: "three"}[count]
        raise ValueError(f"{word} {of} are needed, not {len(values)}")
    return values


def _in_order(span: tuple[float, float] | None) -> tuple[float, float] | None:
    # Written so that a limit that is not a number is refused as well.
    if span is not None and not -math.inf < span[0] <= span[1] < math.inf:
        raise ValueError(f"from {span[0]:g} to {span[1]:g} is no range")
    return span


Range = tuple[float, float]
"""From, to: a number between the two is drawn."""


class GenerateConfig(Section):
    """What every generated CAPS has in common."""

    generated_caps_directory: Path = setting(..., "CAPS that is written")
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

    n_subjects: int = _n_subjects()
    mean: float = setting(0.0, "Mean of the noise, in units of the image", allow_inf_nan=False)
    sigma: float = setting(
        0.5, "Standard deviation of the noise, in units of the image", ge=0, allow_inf_nan=False
    )


class TrivialConfig(FromImagesConfig):
    """Half a brain darkened: labels that anything must learn."""

    n_subjects: int = _n_subjects()
    mask_path: Path | None = setting(
        None, "Folder with mask-1.nii and mask-2.nii, or .nii.gz (default: the hemispheres)"
    )
    atrophy_percent: float = setting(60.0, "Darkening inside the mask", unit="%", ge=0, le=100)


class SheppLoganConfig(GenerateConfig):
    """Two-dimensional phantoms of three subtypes."""

    n_subjects: int = _n_subjects()
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
        return _has(3, shares, of="shares")

    @field_validator("cn_subtypes_distribution", "ad_subtypes_distribution")
    @classmethod
    def _is_distribution(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        # Written so that a share that is not a number is refused as well.
        if not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6):
            raise ValueError(
                f"the shares must not be negative and must sum to 1, not {sum(shares):g}"
            )
        return shares


class ChangedConfig(FromImagesConfig):
    """Images of a CAPS, changed in a known way under the names of their participants."""

    share: float = setting(
        1.0, "Share of the participants that are changed; the others are copied", gt=0, le=1
    )


class Strength(NamedTuple):
    """How strong each artefact is at one severity: from, to."""

    translation: tuple[float, float]
    rotation: tuple[float, float]
    num_transforms: int
    ghosting: tuple[float, float]
    spikes: tuple[float, float]
    bias_field: float
    blur: tuple[float, float]
    down_sampling: tuple[int, int]
    gamma: tuple[float, float]
    noise_level: tuple[float, float]


SEVERITIES: dict[int, Strength] = {
    1: Strength(
        (0.5, 1), (0.5, 1), 1, (0.1, 0.2), (0.05, 0.1), 0.1, (0.5, 1), (2, 2),
        (-0.05, -0.01), (0.01, 0.02),
    ),
    2: Strength(
        (1, 2), (1, 2), 2, (0.2, 0.4), (0.1, 0.2), 0.2, (1, 1.5), (3, 3),
        (-0.1, -0.03), (0.02, 0.04),
    ),
    3: Strength(
        (2, 4), (2, 4), 2, (0.4, 0.6), (0.2, 0.5), 0.4, (1.5, 2.5), (4, 4),
        (-0.2, -0.05), (0.04, 0.08),
    ),
    4: Strength(
        (4, 6), (4, 6), 3, (0.6, 0.8), (0.5, 1), 0.6, (2.5, 4), (5, 6),
        (-0.4, -0.2), (0.08, 0.15),
    ),
    5: Strength(
        (6, 10), (6, 10), 3, (0.8, 1), (1, 3), 0.9, (4, 6), (7, 8),
        (-0.7, -0.4), (0.15, 0.3),
    ),
}  # fmt: skip
"""Severity -> strength of each artefact. The third has what release 1.6 did by default."""

ARTIFACTS = (
    "motion", "ghosting", "spikes", "bias_field", "blur", "down_sampling", "contrast", "noise",
)  # fmt: skip
"""In the order in which they are applied; each is a switch of the settings."""


class ArtifactsConfig(ChangedConfig):
    """What can go wrong in a scanner, at a known strength."""

    severity: int = setting(
        3, "Strength of what is not said otherwise, from 1 (hardly seen) to 5", ge=1, le=5
    )
    motion: bool = setting(False, "The participant moves during the acquisition")
    translation: Range | None = setting(
        None, "Shift of each move along each axis (default: by --severity)", unit="mm"
    )
    rotation: Range | None = setting(
        None, "Rotation of each move about each axis (default: by --severity)", unit="degrees"
    )
    num_transforms: int | None = setting(None, "Moves (default: by --severity)", ge=1)
    ghosting: bool = setting(False, "Copies of the head along an axis that is drawn")
    spikes: bool = setting(False, "Stripes: one point of the spectrum is too bright")
    bias_field: bool = setting(False, "Intensities times a smooth field")
    blur: bool = setting(False, "Gaussian filter")
    down_sampling: bool = setting(False, "Thick slices along an axis that is drawn")
    contrast: bool = setting(False, "Intensities to a power; the brightest stays")
    gamma: Range | None = setting(None, "Logarithm of the power (default: by --severity)")
    noise: bool = setting(False, "Gaussian noise in each voxel")
    noise_std: Range | None = setting(
        None,
        "Standard deviation of the noise, in units of the image: look at its intensities first "
        "(default: by --severity, relative to the spread of each image)",
    )
    noise_level: Range | None = setting(
        None, "The same, as a share of the spread of each image (default: by --severity)"
    )
    keep_background: bool = setting(False, "Voxels that are 0 stay 0, as in images without skull")

    @field_validator("translation", "rotation", "gamma", "noise_std", "noise_level", mode="before")
    @classmethod
    def _has_two_values(cls, span: Any) -> Any:
        return _has(2, span)

    @field_validator("translation", "rotation", "gamma", "noise_std", "noise_level")
    @classmethod
    def _is_range(cls, span: Range | None) -> Range | None:
        return _in_order(span)

    @field_validator("translation", "rotation", "noise_std", "noise_level")
    @classmethod
    def _is_not_negative(cls, span: Range | None) -> Range | None:
        if span is not None and span[0] < 0:
            raise ValueError(f"the range begins at {span[0]:g}, below 0")
        return span

    @model_validator(mode="after")
    def _something_happens(self) -> ArtifactsConfig:
        flags = ", ".join(f"--{name}" for name in ARTIFACTS)
        if not any(getattr(self, name) for name in ARTIFACTS):
            raise ValueError(f"no artefact is selected: give one or more of {flags}")
        owners = {
            "translation": "motion", "rotation": "motion", "num_transforms": "motion",
            "gamma": "contrast", "noise_std": "noise", "noise_level": "noise",
        }  # fmt: skip
        for name, owner in owners.items():
            if getattr(self, name) is not None and not getattr(self, owner):
                raise ValueError(f"{name} means nothing without {owner}")
        if self.noise_std is not None and self.noise_level is not None:
            raise ValueError("noise_std and noise_level say the same: give one of them")
        return self


Pathology = Literal["ad", "bvftd", "lvppa", "nfvppa", "pca", "svppa"]


def _of_fdg(value: Any) -> Any:
    """Return the published tracer and region where a part of them was not said."""
    if not isinstance(value, dict) or value.get("name", "pet-linear") != "pet-linear":
        return value
    return {**_FDG.model_dump(), **value}


_FDG = PetLinear(tracer="18FFDG", suvr_reference_region="cerebellumPons2")


class HypometabolicConfig(ChangedConfig):
    """Uptake lowered where a kind of dementia lowers it."""

    preprocessing: Annotated[
        Choice,
        from_table(PREPROCESSINGS, "clinicadl.preprocessings", default="pet-linear"),
        BeforeValidator(_of_fdg),
    ] = setting(_FDG, "Preprocessing whose images are taken")
    n_subjects: int = setting(300, "Participants, of whom the first session is taken", ge=1)
    pathology: Pathology = setting("ad", "Dementia that is imitated", short="p")
    anomaly_degree: float = setting(
        30.0, "Uptake that is lost inside the mask", unit="%", short="anod", gt=0, le=100
    )
    sigma: float = setting(
        5.0, "Standard deviation of the Gaussian that smooths the edge", unit="voxels",
        ge=0, allow_inf_nan=False,
    )  # fmt: skip
    mask: Path | None = setting(None, "Mask of the region, on any grid (instead of --atlas)")
    atlas: Path | None = setting(
        None, "Label map, on any grid; the regions of the pathology are taken by their names"
    )
    atlas_labels: Path | None = setting(
        None, "Table of the label map, with the columns index and name"
    )

    @model_validator(mode="after")
    def _says_where(self) -> HypometabolicConfig:
        if (self.mask is None) == (self.atlas is None):
            raise ValueError(
                "where the uptake is low must be said once: by --mask, or by --atlas with "
                "--atlas_labels"
            )
        _has_labels(self.atlas, self.atlas_labels)
        return self


def _has_labels(atlas: Path | None, labels: Path | None) -> None:
    if (atlas is None) != (labels is None):
        raise ValueError("--atlas and --atlas_labels are given together")


class AtrophyConfig(ChangedConfig):
    """Regions that lost, or gained, a known share of their volume."""

    mask: tuple[Path, ...] = setting((), "Masks of the regions, on any grid")
    atlas: Path | None = setting(None, "Label map, on any grid (instead of --mask)")
    atlas_labels: Path | None = setting(
        None, "Table of the label map, with the columns index and name"
    )
    regions: tuple[str, ...] = setting((), "Names of regions of the label map")
    method: Literal["deformation", "loss"] = setting(
        "deformation",
        "Whether the regions shrink, or keep their size while fluid takes the place of tissue",
    )
    atrophy_percent: Range = setting(
        (20.0, 20.0),
        "Volume, or tissue, that the regions lose, drawn for each image; below 0 they grow",
        unit="%",
    )
    margin: float | None = setting(
        None, "Width of the tissue around a region that gives way (default: 20)", unit="mm", gt=0,
        allow_inf_nan=False,
    )  # fmt: skip
    fluid: float | None = setting(None, "Intensity of fluid, for the loss", allow_inf_nan=False)

    @field_validator("atrophy_percent", mode="before")
    @classmethod
    def _has_two_values(cls, span: Any) -> Any:
        # One number is a range of its own.
        return _has(2, span * 2 if isinstance(span, list | tuple) and len(span) == 1 else span)

    @field_validator("atrophy_percent")
    @classmethod
    def _something_is_left(cls, span: Range) -> Range:
        _in_order(span)
        if span[0] < -100 or span[1] > 80:
            raise ValueError("a region can lose at most 80 %, and grow by at most 100 % (-100)")
        return span

    @model_validator(mode="after")
    def _says_where(self) -> AtrophyConfig:
        if bool(self.mask) == (self.atlas is not None):
            raise ValueError(
                "where the volume changes must be said once: by --mask, or by --atlas with "
                "--atlas_labels and --regions"
            )
        _has_labels(self.atlas, self.atlas_labels)
        if bool(self.regions) != (self.atlas is not None):
            raise ValueError("--regions names regions of --atlas: they are given together")
        return self

    @model_validator(mode="after")
    def _fits_the_method(self) -> AtrophyConfig:
        if (self.method == "loss") != (self.fluid is not None):
            raise ValueError("--method loss and --fluid are given together")
        if self.method == "loss" and self.margin is not None:
            raise ValueError("--margin means nothing in --method loss, which moves nothing")
        if self.method == "loss" and self.atrophy_percent[0] < 0:
            raise ValueError("tissue can be lost, and not grow, in --method loss")
        return self
