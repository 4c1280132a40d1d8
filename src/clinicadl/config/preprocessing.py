"""Which preprocessed images of a CAPS are meant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from clinicadl.config.base import Choice, setting

SuvrRegion = Literal["pons", "cerebellumPons", "pons2", "cerebellumPons2"]
DtiMeasure = Literal["FA", "MD", "AD", "RD"]
DtiSpace = Literal["native", "normalized"]


def _names_some_files(suffix: str) -> str:
    if not suffix.strip("*?. "):
        raise ValueError("such a suffix is the end of every file name")
    return suffix


Suffix = Annotated[str, AfterValidator(_names_some_files)]
"""End of the file names of some images."""


class Linear(Choice):
    """Images registered to MNI by one affine; cropped unless said otherwise."""

    use_uncropped_image: bool = setting(
        False, "Take the image of the whole grid, not the cropped one", short="uui"
    )


class T1Linear(Linear):
    """T1-weighted, affinely registered."""

    name: Literal["t1-linear"] = "t1-linear"


class FlairLinear(Linear):
    """FLAIR, affinely registered."""

    name: Literal["flair-linear"] = "flair-linear"


class T2Linear(Linear):
    """T2-weighted, affinely registered."""

    name: Literal["t2-linear"] = "t2-linear"


class PetLinear(Linear):
    """PET, affinely registered, intensities relative to a region."""

    name: Literal["pet-linear"] = "pet-linear"
    tracer: str = setting(
        ..., "Tracer, as in the file names: 18FFDG, 18FAV45, ...", pattern="^[A-Za-z0-9]+$"
    )
    suvr_reference_region: SuvrRegion = setting(..., "Region of the SUVR", short="suvr")


class T1Volume(Choice):
    """Grey matter of SPM's segmentation, in MNI space."""

    name: Literal["t1-volume"] = "t1-volume"


class T1Extensive(Choice):
    """T1-weighted, skull-stripped, in MNI space as SPM has it."""

    name: Literal["t1-extensive"] = "t1-extensive"


class DwiDti(Choice):
    """A measure of the diffusion tensor."""

    name: Literal["dwi-dti"] = "dwi-dti"
    dti_measure: DtiMeasure = setting(
        "FA", "Measure: fractional anisotropy, or mean, axial or radial diffusivity", short="dm"
    )
    dti_space: DtiSpace = setting(
        "native", "Space of the image: of the participant, or MNI", short="ds"
    )


class Custom(Choice):
    """Any image whose name ends as said."""

    name: Literal["custom"] = "custom"
    custom_suffix: Suffix = setting(
        ...,
        "End of the file names, such as T1w.nii.gz; * and ? may stand in it",
        short="cn",
    )


PREPROCESSINGS: dict[str, type[Choice]] = {
    "t1-linear": T1Linear,
    "flair-linear": FlairLinear,
    "t2-linear": T2Linear,
    "pet-linear": PetLinear,
    "t1-volume": T1Volume,
    "t1-extensive": T1Extensive,
    "dwi-dti": DwiDti,
    "custom": Custom,
}
