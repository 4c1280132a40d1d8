"""Which registered images are checked, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from clinicadl.config.base import Choice, setting
from clinicadl.config.checking import Checking
from clinicadl.config.preprocessing import Custom, Suffix, T1Linear

TSV = ".tsv"

QualityNetwork = Literal["none", "darq", "deep_qc", "sq101"]


class T1LinearQualityConfig(Checking):
    """T1-weighted images that were put on a template by one affine."""

    caps_directory: Path = setting(..., "CAPS that holds the images")
    output_tsv: Path = setting(
        ..., "Table of the sessions, of how likely they pass and whether they do, to be made"
    )
    threshold: float = setting(0.5, "Images of a larger probability pass", ge=0, le=1)
    network: QualityNetwork | None = setting(
        None, "What judges the images: one of the published networks, or none, which compares them "
        "with a template (default: darq where there are --weights, else none)",
    )  # fmt: skip
    weights: Path | None = setting(None, "File of the weights of the published network")
    template: Path | None = setting(
        None, "Brain on the same template, as NIfTI (default: MNI152 2009a, which nilearn carries)"
    )
    use_uncropped_image: bool | None = setting(
        None, "Take the image of the whole grid, not the cropped one (default: for a network)",
        short="uui",
    )  # fmt: skip
    custom_suffix: Suffix | None = setting(
        None, "End of the file names of other images of a brain on the template", short="cn"
    )
    use_tensor: bool = setting(False, "Take the tensors of prepare-data, not the images")
    details: Path | None = setting(
        None, "Table of what was measured in each image, and of what is wrong with it, to be made"
    )
    batch_size: int = setting(8, "Images that a network looks at in one go", ge=1)
    gpu: bool | None = setting(None, "Let a network compute on a GPU (default: where there is one)")
    amp: bool = setting(False, "Let a network compute in half precision (GPU)")

    @field_validator("output_tsv", "details")
    @classmethod
    def _is_table(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix != TSV:
            raise ValueError(f"the name of a table must end in {TSV}")
        return path

    @model_validator(mode="after")
    def _agree(self) -> T1LinearQualityConfig:
        if self.judge == "none":
            given = [name for name in ("gpu", "amp", "batch_size", "weights")
                     if getattr(self, name) != type(self).model_fields[name].default]  # fmt: skip
            if given:
                raise ValueError(f"--{given[0]} means nothing without a network")
        elif self.template is not None:
            raise ValueError("--template means nothing to a network, which knows its own")
        if self.custom_suffix is not None and self.use_uncropped_image is not None:
            raise ValueError("--use_uncropped_image means nothing beside --custom_suffix")
        if len({*self.outputs}) < len(self.outputs):
            raise ValueError("every output needs a name of its own")
        return self

    @property
    def judge(self) -> QualityNetwork:
        """What judges the images."""
        return self.network or ("none" if self.weights is None else "darq")

    @property
    def preprocessing(self) -> Choice:
        """Which images are taken; the published networks learnt from uncropped ones."""
        if self.custom_suffix is not None:
            return Custom(custom_suffix=self.custom_suffix)
        uncropped = self.use_uncropped_image
        return T1Linear(
            use_uncropped_image=self.judge != "none" if uncropped is None else uncropped
        )

    @property
    def failures(self) -> Path:
        """The table of the images that could not be read."""
        return self.output_tsv.with_name(f"{self.output_tsv.stem}_failed{TSV}")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files that are made, but for the table of failures."""
        named = (self.output_tsv, self.details)
        return tuple(path for path in named if path is not None)
