"""Splits of one MAPS as jobs: each a command that goes on with one of them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import torch

from clinicadl import jobs
from clinicadl.config import plugins
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import JobsConfig
from clinicadl.engine import devices, need
from clinicadl.engine.plan import Plan, plan
from clinicadl.errors import UsageError, kind_of
from clinicadl.jobs import Ended, Jobs
from clinicadl.layouts.maps import names

_GB = 2**30
"""What Slurm calls a GB."""


def check(settings: JobsConfig, planned: Plan, splits: Sequence[int]) -> None:
    """Refuse jobs that cannot be begun; `jobs.check` has passed, and nothing is written.

    Raises
    ------
    UsageError
        Several processes would begin them, or they do not fit into the memory of this machine.
    """
    world = planned.device.ranks.world
    if world > 1:
        raise UsageError(
            "Jobs are submitted by one process", where="--submit", found=f"{world} processes",
            fix="Start the command without torchrun or srun",
        )  # fmt: skip
    if settings.submit != "local":
        return  # a cluster has other machines, which say for themselves what they hold
    free = need.available(planned.device)
    all_needed = len(splits) * planned.needed.total
    if free is not None and all_needed > free:
        raise UsageError(
            "The splits do not fit into the memory together", where="--submit local",
            found=f"{len(splits)} times {need.in_gb(planned.needed.total)} needed, "
            f"{need.in_gb(free)} free",
            fix="Choose fewer of them with --split, or train them one by one, without --submit",
        )  # fmt: skip


def planned_elsewhere(config: ExperimentConfig) -> Plan:
    """Return the plan of a training on a cluster, from whose login node no GPU may be in sight."""
    compute = config.compute
    if torch.cuda.is_available() or not (compute.gpu or compute.amp != "no"):
        return plan(config)
    here = compute.model_copy(update={"gpu": False, "amp": "no", "compile": False})
    planned = plan(config.model_copy(update={"compute": here}))
    device = replace(
        planned.device,
        torch_device=torch.device("cuda"),
        channels_last=bool(compute.channels_last),
        amp=compute.amp,
        compiles=compute.compile,
    )
    there = planned.config.model_copy(update={"compute": compute})
    return replace(planned, config=there, device=device)


def resolved(settings: JobsConfig, planned: Plan) -> dict[str, Any]:
    """Return what is known of what the jobs compute on, for the record.

    The name of a GPU is not, if there is none here.
    """
    device = planned.device
    with devices.threads(n_threads(settings, planned)):
        if not _on_gpu(planned) or torch.cuda.is_available():
            return device.to_record()
        like_ours = replace(device, torch_device=torch.device("cpu")).to_record()
    del like_ours["device_name"]
    return like_ours | {"device": device.torch_device.type}


def n_threads(settings: JobsConfig, planned: Plan) -> int:
    """Return with how many threads each job computes, on which its bits depend.

    They are its cores: where nobody says them, those that this process computes with, and for a
    network on a GPU one for each process that reads and one for itself.
    """
    said = jobs.cores(settings)
    if said is not None:
        return said
    if not _on_gpu(planned) or settings.submit == "local":
        return torch.get_num_threads()
    return 1 + planned.device.n_readers(planned.config.compute.n_proc)


def commands(
    settings: JobsConfig, planned: Plan, maps: Path, splits: Sequence[int]
) -> list[list[str]]:
    """Return the command of each job, by this very Python."""
    named = [word for path in plugins.paths() for word in ("--plugin", str(path))]
    threads = f"OMP_NUM_THREADS={n_threads(settings, planned)}"
    program = ["env", threads, sys.executable, "-m", "clinicadl", *named]
    resumed = ["train", "resume", str(maps.absolute())]
    return [[*program, *resumed, "--split", str(number)] for number in splits]


def submit(settings: JobsConfig, planned: Plan, maps: Path, splits: Sequence[int]) -> Jobs:
    """Submit a job for each split of a MAPS that is there.

    Raises
    ------
    UsageError
        Slurm refused the jobs.
    OutputError
        The logs cannot be written.
    """
    return jobs.submit(
        commands(settings, planned, maps, splits),
        settings,
        names.jobs(maps),
        defaults=_needs(settings, planned, maps),
    )


def _needs(settings: JobsConfig, planned: Plan, maps: Path) -> dict[str, object]:
    """Return what a job needs where nobody says it."""
    # When it looks how much is free, the program itself is there already.
    n_bytes = planned.needed.total + need.BASE
    return {
        "name": f"train-{maps.name}",
        "mem_gb": ceil(n_bytes / _GB),
        "cpus_per_task": n_threads(settings, planned),
        # On this machine as well: a job that asks for none sees none.
        **({"gpus_per_node": 1} if _on_gpu(planned) else {}),
    }


def _on_gpu(planned: Plan) -> bool:
    return planned.device.torch_device.type == "cuda"


def finish(submitted: Jobs, maps: Path, splits: Sequence[int]) -> Generator[Ended, None, None]:
    """Yield the jobs of this machine as they end; cancel those that are left when we stop.

    Raises
    ------
    ClinicaDLError
        At the end, if a job failed; of the kind of its exit code.
    """
    with closing(jobs.ended(submitted)) as each:
        failed = []
        for one in each:
            if one.exit_code != 0:
                failed.append(one)
            yield one
    if failed:
        first = min(failed, key=lambda one: one.number)
        said = f"; it said: {first.last_line}" if first.last_line else ""
        raise kind_of(first.exit_code)(
            f"{len(failed)} of {len(splits)} jobs failed, the first being that of split "
            f"{splits[first.number]}; its log is", where=first.log, found=first.how + said,
            fix=f"Go on with what is left by: clinicadl train resume {maps}",
        )  # fmt: skip
