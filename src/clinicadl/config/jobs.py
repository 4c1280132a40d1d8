"""How commands are shared out: over images, processes and the jobs of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from clinicadl.config.base import Section, setting


def _is_one_of_them(shard: str) -> str:
    number, n_shards = map(int, shard.split("/"))
    if not 1 <= number <= n_shards:
        raise ValueError(f"shards are counted from 1/{n_shards} to {n_shards}/{n_shards}")
    return shard


Shard = Annotated[str, Field(pattern=r"^[0-9]{1,6}/[0-9]{1,6}$"), AfterValidator(_is_one_of_them)]
"""K/N: which of the parts of some work, counted from 1."""


class JobsConfig(Section):
    """Commands as jobs."""

    submit: Literal["slurm", "local"] | None = setting(
        None,
        "Work in jobs: of Slurm, and return at once; or on this machine, and wait "
        "(default: neither)",
    )
    slurm_option: tuple[str, ...] = setting(
        (),
        "KEY=VALUE: what the jobs need, in the words of submitit, such as slurm_partition=cpu, "
        "timeout_min=60 or mem_gb=8",
    )

    @model_validator(mode="after")
    def _agree(self) -> JobsConfig:
        if self.slurm_option and self.submit is None:
            raise ValueError("there are no jobs without --submit, so --slurm_option has no meaning")
        return self


HERE = JobsConfig()
"""No jobs: the work is done in this process."""


class PerImage(Section):
    """Commands that take one image after another, wherever these lie."""

    command: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]]
    """The settings that are positional."""

    caps_directory: Path = setting(..., "CAPS that gets what is made")
    participants_tsv: Path | None = setting(
        None,
        "Table of the sessions (default: all that there are)",
        flag="subjects_sessions_tsv",
        short="tsv",
    )
    participant_label: tuple[str, ...] = setting(
        (), "Participants that are taken, of all or of the table; with or without sub-"
    )
    shard: Shard | None = setting(
        None, "K/N: of the sorted sessions every N-th from the K-th on, for N machines"
    )
    jobs: JobsConfig = JobsConfig()
    n_shards: int | None = setting(
        None, "Number of jobs of --submit, each with its shard of the sessions", ge=1, le=999_999
    )
    n_proc: int = setting(2, "Processes", short="np", ge=1)

    @model_validator(mode="after")
    def _share_out(self) -> PerImage:
        submitted = self.jobs.submit is not None
        if submitted != (self.n_shards is not None):
            raise ValueError("--submit and --n_shards need each other")
        if submitted and self.shard is not None:
            raise ValueError("each job of --submit gets a --shard of its own")
        return self
