"""Which preprocessed images are checked, and from where on they pass."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import setting
from clinicadl.config.checking import Checking
from clinicadl.config.preprocessing import SuvrRegion


class VolumeQualityConfig(Checking):
    """The grey matter maps that t1-volume makes."""

    caps_directory: Path = setting(..., "CAPS that holds the maps and the template of their group")
    output_directory: Path = setting(..., "Folder for QC_metrics.tsv and pass_step-{1,2,3}.tsv")
    group_label: str = setting(
        ..., "Group whose template is compared with", pattern="^[A-Za-z0-9]+$"
    )
    eyes_mask: Path | None = setting(
        None, "NIfTI mask of the region of the eyes, on the grid of the maps (default: the third "
        "step is left out)",
    )  # fmt: skip
    threshold: float = setting(
        0.10, "Frontal similarity above which a map passes the third step", ge=0, le=1
    )


class PetQualityConfig(Checking):
    """The images that pet-linear makes."""

    caps_directory: Path = setting(..., "CAPS that holds the images")
    output_tsv: Path = setting(..., "Table of the sessions and whether they pass, to be made")
    tracer: str = setting(
        ..., "Tracer, as in the file names: 18FFDG, 18FAV45, ...", pattern="^[A-Za-z0-9]+$"
    )
    suvr_reference_region: SuvrRegion = setting(..., "Region of the SUVR")
    use_uncropped_image: bool = setting(
        False, "Take the image of the whole grid, not the cropped one", short="uui"
    )
    threshold: float = setting(0.9, "Probability above which an image passes", ge=0, le=1)
    contour_mask: Path | None = setting(
        None, "NIfTI mask of what surrounds the brain, on the grid of the images (default: what is "
        "6 to 9 mm outside of the brain of MNI152)",
    )  # fmt: skip
