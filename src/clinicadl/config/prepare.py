"""What prepare-data reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import field_validator, model_validator

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.mode import MODES, MODES_GROUP, ImageMode, RoiMode
from clinicadl.config.preprocessing import PREPROCESSINGS


class PrepareConfig(Section):
    """From images to tensors."""

    caps_directory: Path = setting(..., "CAPS that holds the images and gets the tensors")
    preprocessing: Annotated[Choice, from_table(PREPROCESSINGS, "clinicadl.preprocessings")] = (
        setting(..., "Preprocessing whose images are taken", flag="modality")
    )
    mode: Annotated[Choice, from_table(MODES, MODES_GROUP)] = setting(
        ImageMode(), "Which parts of an image the network gets"
    )
    save_features: bool = setting(
        False, "Store a tensor for each part instead of one for the image"
    )
    participants_tsv: Path | None = setting(
        None,
        "Table of the sessions (default: all of the CAPS)",
        flag="subjects_sessions_tsv",
        short="tsv",
    )
    participant_label: tuple[str, ...] = setting(
        (), "Participants that are taken, of all or of the table; with or without sub-"
    )
    shard: str | None = setting(
        None,
        "K/N: of the sorted sessions every N-th from the K-th on, for N machines; "
        "needs --extract_json",
        pattern=r"^[0-9]{1,6}/[0-9]{1,6}$",
    )
    jobs: JobsConfig = JobsConfig()
    n_shards: int | None = setting(
        None, "Number of jobs of --submit, each with its shard of the sessions", ge=1, le=999_999
    )
    extract_json: str | None = setting(
        None, "Name of the extraction JSON (default: extract_<unix seconds>.json)", short="ej"
    )
    n_proc: int = setting(2, "Processes", short="np", ge=1)

    @field_validator("shard")
    @classmethod
    def _is_one_of_them(cls, shard: str | None) -> str | None:
        if shard is not None:
            number, n_shards = map(int, shard.split("/"))
            if not 1 <= number <= n_shards:
                raise ValueError(f"shards are counted from 1/{n_shards} to {n_shards}/{n_shards}")
        return shard

    @model_validator(mode="after")
    def _agree(self) -> PrepareConfig:
        submitted = self.jobs.submit is not None
        if submitted != (self.n_shards is not None):
            raise ValueError("--submit and --n_shards need each other")
        if submitted and self.shard is not None:
            raise ValueError("each job of --submit gets a --shard of its own")
        if (submitted or self.shard is not None) and self.extract_json is None:
            said = "--submit" if submitted else "--shard"
            raise ValueError(f"all shards must write the same JSON: {said} needs --extract_json")
        if self.save_features and isinstance(self.mode, ImageMode):
            raise ValueError("--save_features means parts, and an image is stored whole")
        if self.save_features and isinstance(self.mode, RoiMode) and not self.mode.roi_list:
            raise ValueError("--save_features needs --roi_list: regions are stored by their masks")
        return self
