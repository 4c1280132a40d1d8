"""How participants are set apart."""

from __future__ import annotations

from pathlib import Path

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
    ignore_demographics: bool = setting(False, "Balance neither age nor sex, stratify on nothing")
    stratify_by: str = setting("diagnosis", "Column whose classes keep their shares")
    categorical_split_variable: str | None = setting(
        None, "Another column whose classes keep their shares, together with the first"
    )
    valid_longitudinal: bool = setting(
        False, "Write every session of the part set apart too", off="valid-baseline"
    )
    seed: int = setting(0, "Seed of the draw", ge=0, lt=2**32)


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
    valid_longitudinal: bool = setting(
        False, "Write every session of the part set apart too", off="valid-baseline"
    )
    seed: int = setting(0, "Seed of the draw", ge=0, lt=2**32)
