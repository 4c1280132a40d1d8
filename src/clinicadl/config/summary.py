"""What is said about a table: progressions, figures of groups, older folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting

STAGES = {"CN": 0, "MCI": 1, "AD": 2, "Dementia": 2}
"""Diagnosis -> how far the disease is; equal numbers are one stage under two names."""

TimeUnit = Literal["months", "years"]

_TIME_COLUMN = "Column that tells when a session was, instead of session_id"
_TIME_UNIT = "Unit of the time column"


class ProgressionConfig(Section):
    """How each session goes on, in a table that is edited in place."""

    data_tsv: Path = setting(..., "Table with one row a session")
    time_horizon: int = setting(36, "How far ahead a session is compared", unit="months", ge=1)
    stages: tuple[str, ...] = setting(
        tuple(f"{name}={stage}" for name, stage in STAGES.items()),
        "Every diagnosis and its stage, as NAME=NUMBER, low to high",
        min_length=1,
    )
    time_column: str | None = setting(None, _TIME_COLUMN)
    time_unit: TimeUnit = setting("months", _TIME_UNIT)

    @field_validator("stages")
    @classmethod
    def _are_pairs(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        for stage in stages:
            number = stage.rpartition("=")[2]
            if not stage.rpartition("=")[0] or not number.removeprefix("-").isdecimal():
                raise ValueError(f"'{stage}' is no diagnosis with its stage, as in MCI=1")
        _refuse_repeated([stage.rpartition("=")[0] for stage in stages])
        return stages

    @model_validator(mode="after")
    def _unit_has_a_column(self) -> ProgressionConfig:
        _refuse_unit_alone(self)
        return self

    @property
    def stage_of(self) -> dict[str, int]:
        """Diagnosis -> stage."""
        pairs = (stage.rpartition("=") for stage in self.stages)
        return {name: int(number) for name, _, number in pairs}


class AdaptConfig(Section):
    """A folder of labels and splits of release 1.1, in the layout of today."""

    old_tsv_dir: Path = setting(..., "Folder of labels and splits as release 1.1 wrote it")
    new_tsv_dir: Path = setting(..., "Folder to be made")
    labels_list: tuple[str, ...] = setting(
        (), "Labels whose tables are taken; all of them where none is named", short="lb"
    )


class AnalysisConfig(Section):
    """The figures of groups of participants."""

    merged_tsv: Path = setting(..., "Table of all that is known of the sessions")
    data_tsv: Path = setting(..., "Table with one row a session, or a folder of split or kfold")
    results_tsv: Path = setting(..., "Table to be made, one row a group")
    diagnoses: tuple[str, ...] | None = setting(
        None,
        "Diagnoses that are described; AD and CN, or all where the table has neither",
        short="d",
        min_length=1,
    )
    group_by: tuple[str, ...] = setting(
        ("diagnosis",), "Columns whose values, together, make the groups", min_length=1
    )
    variables: tuple[str, ...] = setting((), "More columns that are described")
    categorical: tuple[str, ...] = setting(
        (), "Those of the columns whose numbers are names, as of sites: counted, not averaged"
    )
    longitudinal: bool = setting(False, "Describe all sessions too, besides the first ones")
    compare: tuple[str, ...] = setting(
        (), "Sets that are compared, as NAME=TABLE, two or more; a folder compares its own"
    )
    time_column: str | None = setting(None, _TIME_COLUMN)
    time_unit: TimeUnit = setting("months", _TIME_UNIT)
    overwrite: bool = setting(False, "Replace the results of before")

    @field_validator("compare")
    @classmethod
    def _are_sets(cls, compare: tuple[str, ...]) -> tuple[str, ...]:
        for one in compare:
            if not all(one.partition("=")):
                raise ValueError(f"'{one}' is no set with its table, as in test=test.tsv")
        if len(compare) == 1:
            raise ValueError("one set alone has nothing to be compared with")
        _refuse_repeated([one.partition("=")[0] for one in compare])
        return compare

    @model_validator(mode="after")
    def _settings_are_used(self) -> AnalysisConfig:
        unused = sorted({*self.categorical} - {*self.variables})
        if unused:
            raise ValueError(f"{', '.join(unused)} is categorical and not among the variables")
        _refuse_unit_alone(self)
        return self

    @property
    def table_of(self) -> dict[str, Path]:
        """Set -> its table, of the sets that are named."""
        pairs = (one.partition("=") for one in self.compare)
        return {name: Path(table) for name, _, table in pairs}


def _refuse_repeated(names: list[str]) -> None:
    again = sorted({name for name in names if names.count(name) > 1})
    if again:
        raise ValueError(f"{', '.join(again)} comes twice")


def _refuse_unit_alone(config: ProgressionConfig | AnalysisConfig) -> None:
    if "time_unit" in config.model_fields_set and config.time_column is None:
        raise ValueError("time_unit means nothing without time_column")
