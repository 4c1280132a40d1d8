"""What every look of trained models at a data group reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from clinicadl.config.base import Section, setting
from clinicadl.config.compute import Amp


class GroupConfig(Section):
    """The data group, which models look at it, and on what."""

    caps_directory: Path | None = setting(
        None, "CAPS of a new data group; of several cohorts the table (cohort, path)"
    )
    participants_tsv: Path | None = setting(
        None,
        "Table of a new data group, or the folder whose *_baseline.tsv tables are taken; of "
        "several cohorts the table (cohort, path, diagnoses)",
    )
    multi_cohort: bool = setting(
        False, "Look at several cohorts, which two tables name", off="single-cohort"
    )
    diagnoses: tuple[str, ...] | None = setting(
        None, "Diagnoses that are kept (default: those of training)", short="d"
    )
    image: tuple[Path, ...] = setting(
        (),
        "NIfTI of a new data group of one session, in place of a table (of several channels one "
        "each, in their order)",
    )
    participant: str | None = setting(
        None, "Who is on the image (default: what its name says)", min_length=1
    )
    session: str | None = setting(
        None, "The session of the image (default: what its name says)", min_length=1
    )
    selection_metrics: tuple[str, ...] = setting(
        (), "Selection metrics whose best models look (default: all)", short="sm"
    )
    split: tuple[int, ...] = setting(
        (), "Splits that look (default: all that are trained)", short="s"
    )
    batch_size: int = setting(8, "Samples that pass the network together", ge=1)
    n_proc: int | None = setting(
        None, "Processes that read samples ahead (default: 2 for a GPU, else 0)", short="np", ge=0
    )
    gpu: bool | None = setting(None, "Compute on a GPU (default: where there is one)")
    amp: Amp = setting("no", "Compute in half precision what bears it: with bf16 or fp16 (GPU)")
    overwrite: bool = setting(False, "Define the group anew and replace its results", short="o")
    accept_leakage: str | None = setting(
        None,
        "Go on in spite of the guard: the reason, which is written beside what comes of it",
        min_length=1,
    )

    accept_unlike: str | None = setting(
        None,
        "Go on though images are not like those that pulled models know: the reason, which is "
        "written beside what comes of it",
        min_length=1, pattern=r"\S",
    )  # fmt: skip

    @model_validator(mode="after")
    def _is_an_image_or_a_table(self) -> GroupConfig:
        if self.image and (self.participants_tsv or self.multi_cohort or self.diagnoses):
            raise ValueError("an image stands in place of participants_tsv, cohorts and diagnoses")
        if not self.image and (self.participant or self.session):
            raise ValueError("participant and session say who is on an image, and there is none")
        return self
