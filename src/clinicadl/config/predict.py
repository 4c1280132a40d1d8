"""What an evaluation of a trained model reads."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import Section, setting
from clinicadl.config.compute import Amp


class PredictConfig(Section):
    """The data group, and which models look at it."""

    caps_directory: Path | None = setting(
        None, "CAPS of a new data group; of several cohorts the table (cohort, path)"
    )
    participants_tsv: Path | None = setting(
        None,
        "Table of a new data group, or the folder whose *_baseline.tsv tables are taken; of "
        "several cohorts the table (cohort, path, diagnoses)",
    )
    multi_cohort: bool = setting(
        False, "Evaluate on several cohorts, which two tables name", off="single-cohort"
    )
    use_labels: bool = setting(True, "Compare with the label and write metrics", off="no-labels")
    label: tuple[str, ...] = setting(
        (), "Columns that hold what was learnt (default: those of training)"
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
    save_tensor: bool = setting(False, "Keep what a reconstruction gets and gives back as tensors")
    save_nifti: bool = setting(False, "Keep the same as NIfTI, parts put together to images")
    overwrite: bool = setting(False, "Define the group anew and replace its results", short="o")
    accept_leakage: str | None = setting(
        None,
        "Evaluate in spite of the guard: the reason, written beside every number",
        min_length=1,
    )
