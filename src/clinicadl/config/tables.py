"""How participants are set apart."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting


class SplitConfig(Section):
    """One division of the participants in two."""

    data_tsv: Path = setting(..., "Table with one row a session")
    subset_name: str = setting(
        "validation", "Name of the part set apart", pattern=r"^[A-Za-z0-9]+$"
    )
    n_test: float = setting(
        100.0, "Participants set apart: a number, or a share if below 1; 0 sets all apart", ge=0
    )
    p_age_threshold: float = setting(
        0.80, "Least p-value of the age balance", short="pa", ge=0, le=1
    )
    p_sex_threshold: float = setting(0.80, "Least balance score of sex", short="ps", ge=0, le=1)
    ignore_demographics: bool = setting(
        False, "Balance neither age nor sex, and stratify only by columns that are named"
    )
    stratify_by: str = setting("diagnosis", "Column whose classes keep their shares")
    categorical_split_variable: str | None = setting(
        None, "Another column whose classes keep their shares, together with the first"
    )
    valid_longitudinal: bool = setting(
        False, "Write every session of the part set apart too", off="valid-baseline"
    )
    seed: int = setting(0, "Seed of the draw", ge=0, lt=2**32)

    @field_validator("subset_name")
    @classmethod
    def _is_not_train(cls, subset_name: str) -> str:
        return _other_than_train(subset_name)

    @model_validator(mode="after")
    def _thresholds_are_used(self) -> SplitConfig:
        said = {"p_age_threshold", "p_sex_threshold"} & self.model_fields_set
        if self.ignore_demographics and said:
            raise ValueError(f"{min(said)} means nothing together with ignore_demographics")
        return self


class KFoldConfig(Section):
    """k divisions, each participant set apart in one."""

    data_tsv: Path = setting(..., "Table with one row a session")
    subset_name: str = setting(
        "validation", "Name of the part set apart", pattern=r"^[A-Za-z0-9]+$"
    )
    n_splits: int = setting(5, "Number of folds; 0 sets everybody apart in one split", ge=0)
    stratification: str = setting(
        "diagnosis", "Column whose classes keep their shares", flag="stratify_by"
    )
    ignore_demographics: bool = setting(False, "Balance neither age nor sex")
    valid_longitudinal: bool = setting(
        False, "Write every session of the part set apart too", off="valid-baseline"
    )
    seed: int = setting(0, "Seed of the draw", ge=0, lt=2**32)

    @field_validator("subset_name")
    @classmethod
    def _is_not_train(cls, subset_name: str) -> str:
        return _other_than_train(subset_name)

    @field_validator("n_splits")
    @classmethod
    def _at_least_two(cls, n_splits: int) -> int:
        if n_splits == 1:
            raise ValueError(
                "one fold leaves nobody to train on; the least is 2, and 0 sets all apart"
            )
        return n_splits


def _other_than_train(subset_name: str) -> str:
    if subset_name == "train":
        raise ValueError("train is the name of the other part")
    return subset_name
