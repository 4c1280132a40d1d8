"""Which sessions of a study are labelled, what is known of them, and which of them are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import SerializeAsAny, ValidationError, field_validator, model_validator

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.summary import STAGES, ProgressionConfig, TimeUnit

_WHERE = "Keep sessions of which this holds, as in \"age >= 62 and sex == 'F'\"; all must hold"


class LabelsConfig(Section):
    """The sessions of a study that can be learnt from, with their labels."""

    bids_directory: Path = setting(..., "BIDS data set; any folder where a merged table is given")
    output_directory: Path = setting(..., "Folder for labels.tsv, labels.json and excluded.tsv")
    diagnoses: tuple[str, ...] | None = setting(
        None,
        "Diagnoses or trajectories (sMCI, pMCI) that are kept (default: AD CN where the table has "
        "one of them, else all)",
        short="d",
        min_length=1,
    )
    diagnosis_column: str | None = setting(
        None, "Column of the labels (default: diagnosis, dx1, or the one most like it)"
    )
    modality: str = setting(
        "t1w", "Image that a session must have: column of the missing_mods tables", short="mod"
    )
    variables_of_interest: tuple[str, ...] = setting(
        (), "Other columns that the labels keep", short="voi"
    )
    caps_directory: Path | None = setting(
        None, "Keep only sessions that have a folder in this CAPS", short="c"
    )
    restriction_tsv: Path | None = setting(None, "Table of the only sessions that may be kept")
    keep_smc: bool = setting(False, "Keep participants with subjective memory complaints")
    merged_tsv: Path | None = setting(
        None,
        "Table with one row a session (default: merged.tsv in the output, else the tables of the "
        "BIDS data set)",
    )
    missing_mods: Path | None = setting(
        None,
        "Folder of tables of the images that each session has (default: missing_mods in the "
        "output, else the images of the BIDS data set)",
    )
    remove_unique_session: bool = setting(False, "Leave out participants with one session")
    missing: Literal["keep", "exclude"] = setting(
        "keep", "What is done with sessions without age, sex or a variable of interest"
    )
    qc_tsv: tuple[Path, ...] = setting(
        (), "Tables of quality checks, such as quality-check writes: sessions that failed one go",
        flag="qc",
    )  # fmt: skip
    qc_column: str | None = setting(None, "Their column that tells (default: pass, or qc)")
    where: tuple[str, ...] = setting((), _WHERE)
    trajectory: bool = setting(False, "Add a column that tells how the diagnosis goes on: sMCI")
    time_horizon: int = setting(36, "How far ahead trajectories look", unit="months", ge=1)
    stages: tuple[str, ...] = setting(
        tuple(f"{name}={stage}" for name, stage in STAGES.items()),
        "Every diagnosis and its stage, as NAME=NUMBER, low to high, for trajectories",
        min_length=1,
    )
    time_column: str | None = setting(
        None, "Column that tells when a session was, instead of session_id"
    )
    time_unit: TimeUnit = setting("months", "Unit of the time column")
    overwrite: bool = setting(False, "Replace the labels of before")

    @field_validator("stages")
    @classmethod
    def _are_pairs(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        try:
            ProgressionConfig(data_tsv=Path(), stages=stages)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return stages

    @model_validator(mode="after")
    def _settings_are_used(self) -> LabelsConfig:
        if self.qc_column is not None and not self.qc_tsv:
            raise ValueError("qc_column means nothing without qc_tsv")
        if "time_unit" in self.model_fields_set and self.time_column is None:
            raise ValueError("time_unit means nothing without time_column")
        return self

    @property
    def stage_of(self) -> dict[str, int]:
        """Diagnosis -> stage."""
        return ProgressionConfig(data_tsv=Path(), stages=self.stages).stage_of


class MetadataConfig(Section):
    """What is known of the sessions of a table, added in place."""

    data_tsv: Path = setting(..., "Table with one row a session, edited in place")
    merged_tsv: Path = setting(..., "Table of all that is known of the sessions")
    variables_of_interest: tuple[str, ...] = setting(
        (), "Columns to add (default: all that the table lacks)", short="voi"
    )


class Aibl(Choice):
    """AIBL: participants whose examination_date is -4 in all sessions are left out."""

    builds: ClassVar[str] = "clinicadl.tables.restrict:aibl"
    name: Literal["AIBL"] = "AIBL"


class Oasis(Choice):
    """OASIS-1: sessions with an age_bl of 62 or more are kept."""

    builds: ClassVar[str] = "clinicadl.tables.restrict:oasis"
    name: Literal["OASIS"] = "OASIS"


class Custom(Choice):
    """No rule but those of --where."""

    builds: ClassVar[str] = "clinicadl.tables.restrict:custom"
    name: Literal["custom"] = "custom"


RESTRICTIONS: dict[str, type[Choice]] = {"AIBL": Aibl, "OASIS": Oasis, "custom": Custom}


class RestrictConfig(Section):
    """The sessions of a table that a rule keeps."""

    restriction: Annotated[
        SerializeAsAny[Choice], from_table(RESTRICTIONS, "clinicadl.restrictions")
    ] = setting(..., "Rule of a study")
    merged_tsv: Path = setting(..., "Table with one row a session")
    results_tsv: Path = setting(..., "Table to be made")
    where: tuple[str, ...] = setting((), _WHERE)
    overwrite: bool = setting(False, "Replace the table of before")

    @model_validator(mode="after")
    def _has_a_rule(self) -> RestrictConfig:
        if isinstance(self.restriction, Custom) and not self.where:
            raise ValueError("the restriction custom needs an expression, given with --where")
        return self
