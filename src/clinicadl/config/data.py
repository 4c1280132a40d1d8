"""Which images and tables an experiment reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clinicadl.config.base import Section, setting

DEFAULT_DIAGNOSES = ("AD", "CN")


class DataConfig(Section):
    """Images, tables and the rows that are kept."""

    caps_directory: Path = setting(
        ..., "CAPS that holds the images; of several cohorts the table (cohort, path)"
    )
    preprocessing_json: str = setting(
        ..., "Extraction JSON: its path, or its name in the CAPS (tensor_extraction/)"
    )
    tsv_directory: Path = setting(
        ...,
        "Folder that tsvtools split or kfold wrote; of several cohorts the table "
        "(cohort, path, diagnoses)",
    )
    multi_cohort: bool = setting(
        False, "Train on several cohorts, which two tables name", off="single-cohort"
    )
    channels: tuple[str, ...] = setting(
        (), "Further extraction JSONs, whose images become further channels of the input"
    )
    diagnoses: tuple[str, ...] | None = setting(
        None,
        "Diagnoses that are kept (default: AD CN where the table has a diagnosis column; a table "
        "without one is not filtered)",
        short="d",
    )
    baseline: bool = setting(
        False, "Train on the first session of each participant only", off="longitudinal"
    )
    valid_longitudinal: bool = setting(
        False, "Validate on every session instead of the first", off="valid-baseline"
    )
    sampler: Literal["random", "weighted", "balanced"] = setting(
        "random",
        "Order of training: each sample once, drawn by inverse class frequency, or every class "
        "equally often",
    )
    shuffle_labels: bool = setting(
        False, "Give the labels of train to other participants: what is learnt then means nothing"
    )
