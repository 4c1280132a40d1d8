"""How participants are set apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting


def _data_tsv() -> Any:
    return setting(..., "Table with one row a session")


def _subset_name() -> Any:
    return setting("validation", "Name of the part set apart", pattern=r"^[A-Za-z0-9]+$")


def _stratify_by(flag: str | None = None) -> Any:
    about = "Columns whose classes, taken together, keep their shares"
    return setting(("diagnosis",), about, flag=flag)


def _balance() -> Any:
    return setting(
        "tests",
        "How the parts are compared: t-test, standardised mean difference and tests of counts "
        "(tests), the criterion of release 1.x (published), or Kolmogorov-Smirnov (ks)",
    )


def _balance_by() -> Any:
    return setting(("age", "sex"), "Columns that are to be alike")


def _ignore_demographics() -> Any:
    return setting(False, "Balance nothing, and stratify only by columns that are named")


def _group_by() -> Any:
    return setting(None, "Column whose groups (families, sites) are kept whole")


def _around() -> Any:
    return setting(
        (), "Folders of earlier divisions: whoever has a place there keeps it (nested labels)"
    )


def _valid_longitudinal() -> Any:
    return setting(False, "Write every session of the part set apart too", off="valid-baseline")


def _seed() -> Any:
    return setting(0, "Seed of the draw", ge=0, lt=2**32)


Balance = Literal["tests", "published", "ks"]


class SplitConfig(Section):
    """One division of the participants in two."""

    data_tsv: Path = _data_tsv()
    subset_name: str = _subset_name()
    n_test: float = setting(
        100.0, "Participants set apart: a number, or a share if below 1; 0 sets all apart", ge=0
    )
    stratify_by: tuple[str, ...] = _stratify_by()
    categorical_split_variable: str | None = setting(
        None, "Another column whose classes keep their shares, together with the first"
    )
    balance: Balance = _balance()
    balance_by: tuple[str, ...] = _balance_by()
    p_age_threshold: float = setting(
        0.80, "Least p-value of age, and of other columns of numbers", short="pa", ge=0, le=1
    )
    p_sex_threshold: float = setting(
        0.80, "Least p-value or score of sex, and of other columns of classes", short="ps",
        ge=0, le=1,
    )  # fmt: skip
    smd_threshold: float = setting(
        0.10, "Largest standardised mean difference of a column of numbers (tests)", ge=0
    )
    multi_diagnoses: bool = setting(False, "Balance all columns of numbers, by Kolmogorov-Smirnov")
    strict: bool = setting(
        False, "Fail where the balance asked for is out of reach, instead of taking the best draw"
    )
    ignore_demographics: bool = _ignore_demographics()
    group_by: str | None = _group_by()
    around: tuple[Path, ...] = _around()
    valid_longitudinal: bool = _valid_longitudinal()
    seed: int = _seed()

    @field_validator("subset_name")
    @classmethod
    def _is_not_train(cls, subset_name: str) -> str:
        return _other_than_train(subset_name)

    @model_validator(mode="after")
    def _balance_is_used(self) -> SplitConfig:
        said = {
            "p_age_threshold", "p_sex_threshold", "smd_threshold", "balance", "balance_by",
            "multi_diagnoses", "strict",
        } & self.model_fields_set  # fmt: skip
        if self.ignore_demographics and said:
            raise ValueError(f"{min(said)} means nothing together with ignore_demographics")
        said = {"balance", "balance_by"} & self.model_fields_set
        if self.multi_diagnoses and said:
            raise ValueError(f"{min(said)} means nothing together with multi_diagnoses")
        if "smd_threshold" in self.model_fields_set and self.balance != "tests":
            raise ValueError(f"smd_threshold means nothing together with balance {self.balance}")
        return self


class KFoldConfig(Section):
    """k divisions, each participant set apart in one."""

    data_tsv: Path = _data_tsv()
    subset_name: str = _subset_name()
    n_splits: int = setting(5, "Number of folds; 0 sets everybody apart in one split", ge=0)
    stratification: tuple[str, ...] = _stratify_by(flag="stratify_by")
    balance: Balance = _balance()
    balance_by: tuple[str, ...] = _balance_by()
    ignore_demographics: bool = _ignore_demographics()
    group_by: str | None = _group_by()
    around: tuple[Path, ...] = _around()
    merged_tsv: Path | None = setting(None, "Table of columns that the first one lacks")
    valid_longitudinal: bool = _valid_longitudinal()
    seed: int = _seed()

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

    @model_validator(mode="after")
    def _balance_is_used(self) -> KFoldConfig:
        said = {"balance", "balance_by"} & self.model_fields_set
        if self.ignore_demographics and said:
            raise ValueError(f"{min(said)} means nothing together with ignore_demographics")
        return self


class ExperimentTablesConfig(Section):
    """A test set, and then the validation of the others."""

    data_tsv: Path = _data_tsv()
    n_test: float = setting(
        100.0, "Participants of the test set: a number, or a share if below 1", gt=0
    )
    validation_type: Literal["kfold", "split"] = setting(
        "kfold", "How the others are divided", short="vt"
    )
    n_validation: float = setting(
        5.0, "Number of folds; of a split the participants: a number, or a share if below 1", gt=0
    )
    stratify_by: tuple[str, ...] = _stratify_by()
    balance: Balance = _balance()
    balance_by: tuple[str, ...] = _balance_by()
    ignore_demographics: bool = _ignore_demographics()
    group_by: str | None = _group_by()
    valid_longitudinal: bool = _valid_longitudinal()
    seed: int = _seed()

    @model_validator(mode="after")
    def _folds_are_whole(self) -> ExperimentTablesConfig:
        is_whole = self.n_validation >= 2 and self.n_validation == int(self.n_validation)
        if self.validation_type == "kfold" and not is_whole:
            raise ValueError("n_validation is a number of folds, 2 or more")
        return self


def _other_than_train(subset_name: str) -> str:
    if subset_name == "train":
        raise ValueError("train is the name of the other part")
    return subset_name
