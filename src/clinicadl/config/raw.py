"""Which images of a BIDS data set are meant, and the grid that they are put on."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.base import Choice, Section, setting
from clinicadl.config.preprocessing import Suffix

Interpolation = Literal["linear", "nearest", "cubic"]
Row = tuple[float, float, float, float]


class Grid(Section):
    """Where the voxels of resampled images lie: at one place, or around the centre of each."""

    shape: tuple[int, int, int] = setting(..., "Voxels along x, y and z")
    voxel_size: tuple[float, float, float] | None = setting(
        None, "Edges of a voxel; the axes are those of the world (RAS+)", unit="mm"
    )
    affine: tuple[Row, Row, Row, Row] | None = setting(
        None, "Voxel to world, in mm, RAS+, of a grid that all images share"
    )
    interpolation: Interpolation = setting("linear", "How values between voxels are found")

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Grid:
        if (self.voxel_size is None) == (self.affine is None):
            raise ValueError("a grid has either a voxel size or an affine")
        return self


class Raw(Choice):
    """Images as they were acquired."""

    datatype: ClassVar[str | None] = None
    """The folder that they are in, or None for any."""
    suffix: ClassVar[str] = ""
    """The end of their names; nothing where the user says it."""

    grid: Grid | None = setting(None, "Grid that the images were resampled to")


class RawT1(Raw):
    """T1-weighted."""

    datatype = "anat"
    suffix = "T1w"
    name: Literal["t1"] = "t1"


class RawPet(Raw):
    """PET."""

    datatype = "pet"
    suffix = "pet"
    name: Literal["pet"] = "pet"
    tracer: str | None = setting(
        None, "Tracer, as in the file names (trc-<tracer>)", pattern="^[A-Za-z0-9]+$"
    )
    reconstruction: str | None = setting(
        None, "Reconstruction, as in the file names (rec-<rec>)",
        flag="rec", pattern="^[A-Za-z0-9]+$",
    )  # fmt: skip


class RawFlair(Raw):
    """FLAIR."""

    suffix = "flair"
    name: Literal["flair"] = "flair"


class RawDwi(Raw):
    """Diffusion."""

    datatype = "dwi"
    suffix = "dwi"
    name: Literal["dwi"] = "dwi"


class RawCustom(Raw):
    """Any image whose name ends as said."""

    name: Literal["custom"] = "custom"
    custom_suffix: Suffix = setting(
        ..., "End of the file names, such as T2w.nii.gz; * and ? may stand in it", short="cn"
    )


RAW: dict[str, type[Raw]] = {
    "t1": RawT1,
    "pet": RawPet,
    "flair": RawFlair,
    "dwi": RawDwi,
    "custom": RawCustom,
}
RAW_GROUP = "clinicadl.raw"
"""Entry points under which other packages declare modalities."""
