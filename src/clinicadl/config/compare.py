"""Which models are compared, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting


class CompareConfig(Section):
    """Trained models, on a data group that all of them have judged."""

    maps: tuple[Path, ...] = setting(..., "MAPS; each further one is compared with the first")
    group: str = setting(..., "Data group, or validation")
    split: tuple[int, ...] = setting(
        (), "Splits that are compared (default: all that every MAPS has results of)", short="s"
    )
    selection_metric: str = setting(
        "loss", "Selection metric whose best models are compared", short="sm"
    )
    covariates_tsv: Path | None = setting(
        None, "Table with age, sex, site: what they alone can tell is a baseline"
    )
    confounds: tuple[str, ...] = setting(
        (), "Columns of that table (default: those of age, sex and site that it has)"
    )
    subgroups: tuple[str, ...] = setting(
        (), "Columns of that table (sex, age, site, scanner) by which each model is judged apart"
    )
    interval: Literal["percentile", "bca"] = setting(
        "bca", "Limits of the bootstrap: percentiles, or bias-corrected and accelerated"
    )
    output: Path | None = setting(None, "TSV to write the comparison to")
    overwrite: bool = setting(False, "Replace the TSV of before", short="o")

    @field_validator("maps")
    @classmethod
    def _is_one_at_least(cls, maps: tuple[Path, ...]) -> tuple[Path, ...]:
        if not maps:
            raise ValueError("there is nothing to compare: name a MAPS")
        return maps

    @field_validator("group")
    @classmethod
    def _is_not_train(cls, group: str) -> str:
        if group == "train":
            raise ValueError("models are never compared on what they were fitted on")
        return group

    @model_validator(mode="after")
    def _columns_have_a_table(self) -> CompareConfig:
        for name in ("confounds", "subgroups"):
            if getattr(self, name) and self.covariates_tsv is None:
                raise ValueError(f"{name} are columns of a table: name it with covariates_tsv")
        return self
