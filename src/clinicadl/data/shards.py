"""Commands that take image after image as jobs, each with its share of the images."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pandas as pd

from clinicadl import jobs
from clinicadl.config import plugins
from clinicadl.config.jobs import JobsConfig, PerImage
from clinicadl.config.read import words
from clinicadl.errors import (
    InvalidDataError,
    PartialError,
    UsageError,
    kind_of,
    listed,
)
from clinicadl.jobs import Ended, Jobs
from clinicadl.layouts import caps, files, tsv
from clinicadl.tables import sessions


def commands(config: PerImage) -> list[list[str]]:
    """Return the command of each job, by this very Python: the same settings, but a shard."""
    paths = {
        name: value.absolute()
        for name in type(config).model_fields
        if isinstance(value := getattr(config, name), Path)
    }
    named = [word for path in plugins.paths() for word in ("--plugin", str(path))]
    program = [sys.executable, "-m", "clinicadl", *named, config.command]
    alone = config.model_copy(update={**paths, "jobs": JobsConfig(), "n_shards": None})
    return [
        [*program, *words(alone.model_copy(update={"shard": shard}), arguments=config.arguments)]
        for shard in (f"{k}/{n}" for k, n in _shards(config))
    ]


def refuse(config: PerImage, extraction: Path, n_images: int) -> None:
    """Refuse jobs that cannot be submitted.

    Raises
    ------
    UsageError
        There are more jobs than images, an option is wrong, or there is no Slurm here.
    MissingExtraError
        submitit is not installed.
    OutputError
        There is no place for the logs.
    """
    n_jobs = len(_shards(config))
    if n_jobs > n_images:
        raise UsageError(
            "Some jobs would have nothing to do", where="--n_shards",
            found=f"{n_jobs} jobs for {n_images} images", fix=f"Give {n_images} or less",
        )  # fmt: skip
    files.refuse_unwritable(caps.jobs_folder(extraction) / "1")
    jobs.check(config.jobs)


def submit(config: PerImage, extraction: Path) -> Jobs:
    """Submit the jobs of a preparation that was planned.

    Raises
    ------
    UsageError
        Slurm refused the jobs.
    OutputError
        The logs cannot be written.
    """
    for table in _tables(config, extraction):
        # What is there after the jobs is from these jobs.
        with files.writing(table):
            table.unlink(missing_ok=True)
    return jobs.submit(
        commands(config),
        config.jobs,
        caps.jobs_folder(extraction),
        defaults={"name": f"{config.command}-{extraction.stem}", "cpus_per_task": config.n_proc},
    )


def finish(
    submitted: Jobs, config: PerImage, extraction: Path, n_images: int
) -> Generator[Ended, None, None]:
    """Yield the jobs of this machine as they end; cancel those that are left when we stop.

    Raises
    ------
    PartialError
        At the end, if some images failed.
    InvalidDataError
        At the end, if every image failed; then there is no JSON.
    ClinicaDLError
        At the end, if a job died; of the kind of its exit code.
    """
    tables = _tables(config, extraction)
    died: list[Ended] = []
    with closing(jobs.ended(submitted)) as each:
        for one in each:
            # With its table, such a job did all that can be done.
            some_failed = one.exit_code in (PartialError.exit_code, InvalidDataError.exit_code)
            if one.exit_code != 0 and not (some_failed and tables[one.number].is_file()):
                died.append(one)
            yield one
    if died:
        _refuse_dead(died, len(tables))
    found = [tsv.read(table, "list of failures") for table in tables if table.is_file()]
    if not found:
        return
    failed = pd.concat(found)
    if len(failed) == n_images:
        raise InvalidDataError(
            f"None of the {n_images} images can be used; the reasons are",
            where=listed(table for table in tables if table.is_file()),
            found=f"first: {failed['reason'].iloc[0]}",
            fix="Mend them, then run the same command again",
        )
    raise PartialError(
        f"{len(failed)} of {n_images} images were skipped; the reasons are",
        where=listed(table for table in tables if table.is_file()),
        found=listed(
            f"{participant} | {session}" for participant, session in sessions.sessions_of(failed)
        ),
        fix="Mend them and run the same command again, or leave them out of the tables",
    )


def _refuse_dead(died: list[Ended], n_jobs: int) -> None:
    first = died[0]
    said = f"; it said: {first.last_line}" if first.last_line else ""
    raise kind_of(first.exit_code)(
        f"{len(died)} of {n_jobs} jobs died, the first being shard {first.number + 1}/{n_jobs}; "
        "its log is",
        where=first.log, found=first.how + said,
        fix="Run the same command again: finished images are kept",
    )  # fmt: skip


def _shards(config: PerImage) -> list[tuple[int, int]]:
    n_shards = config.n_shards or 1
    return [(k, n_shards) for k in range(1, n_shards + 1)]


def _tables(config: PerImage, extraction: Path) -> list[Path]:
    """Return the table of images that failed of each job, which is there if any failed."""
    return [caps.failures(extraction, shard) for shard in _shards(config)]
