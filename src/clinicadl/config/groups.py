"""What every look of trained models at a data group reads."""

from __future__ import annotations

from pathlib import Path

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
