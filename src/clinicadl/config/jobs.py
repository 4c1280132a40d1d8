"""How commands are handed to a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

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
