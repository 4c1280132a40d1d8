"""Searches by one worker, by several processes, or by jobs."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from math import ceil
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from clinicadl import jobs as all_jobs
from clinicadl.config import plugins
from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.search import SearchConfig
from clinicadl.engine import need
from clinicadl.errors import ClinicaDLError, UsageError, kind_of
from clinicadl.jobs import Jobs
from clinicadl.layouts import files, search
from clinicadl.layouts.search import Definition
from clinicadl.search import nested, plan, run
from clinicadl.search.plan import SearchPlan
from clinicadl.search.run import Search, Watch
from clinicadl.work import begin_worker

_GB = 2**30
_LOOK_S = 0.5
"""Between two looks at what the workers did."""


def run_search(
    config: SearchConfig, folder: Path, *, n_proc: int = 1, jobs: JobsConfig = HERE
) -> Search:
    """Make the trials of a search in a new folder.

    Parameters
    ----------
    config
        The experiment, with distributions where values are searched, and how it is searched.
    folder
        The folder to be; absent or empty.
    n_proc
        Workers that make trials at the same time; the trials do not depend on their number.
    jobs
        Whether each worker is a job of its own: of Slurm, and then we return at once; or of this
        machine, and then we wait for them.

    Returns
    -------
    The search, with what became of each trial.

    Raises
    ------
    OutputError
        There is something at ``folder``.
    UsageError
        A value or an end of a range cannot be.
    LeakageError
        A split leaks.
    InvalidDataError
        All trials failed, or a table or image is wrong.
    """
    planned = begin(config, folder, n_proc=n_proc, jobs=jobs)
    return carry_out(folder, n_proc=n_proc, jobs=jobs, planned=planned)


def begin(
    config: SearchConfig,
    folder: Path,
    *,
    n_proc: int = 1,
    jobs: JobsConfig = HERE,
    file: Path | None = None,
) -> SearchPlan:
    """Write the folder of a search that has no trials yet, and return its plan, or of the first.

    Parameters are those of `clinicadl.search.plan.ready`.
    """
    if config.outer_folds:
        return nested.begin(config, folder, n_proc=n_proc, jobs=jobs, file=file)[0]
    planned = plan.ready(config, folder, n_proc=n_proc, jobs=jobs, file=file)
    run.begin(planned)
    return planned


def work(folder: Path, watch: Watch = lambda: None) -> None:
    """Make trials until there are none left, those of outer folds as well."""
    if nested.is_nested(folder):
        nested.work(folder, watch)
    else:
        run.work(folder, watch)


def resume_search(
    folder: Path, *, n_trials: int | None = None, n_proc: int = 1, jobs: JobsConfig = HERE
) -> Search:
    """Go on with a search; or join it, while other workers make its trials.

    Parameters
    ----------
    folder
        Of the search.
    n_trials
        Trials in all, more than before; None: as many as before.
    n_proc, jobs
        As in `run_search`.

    Returns
    -------
    The search, with what became of each trial.

    Raises
    ------
    MissingInputError
        There is no search.
    UsageError
        There would be fewer trials than before.
    InvalidDataError
        All trials failed, or the definition was edited.
    """
    if jobs.submit is not None:
        all_jobs.check(jobs)
    if n_trials is not None:
        extend(folder, n_trials)
    return carry_out(folder, n_proc=n_proc, jobs=jobs)


def read(folder: Path) -> Search:
    """Return a search as it stands, with what its workers wrote so far.

    Of outer folds it is their table of results that counts: the search has no trials of its own.
    """
    if nested.is_nested(folder):
        return Search(folder, search.read_definition(folder), ())
    return run.read(folder)


def searches(folder: Path) -> list[Path]:
    """Return the folders of the searches of all outer folds, or the folder where there are none."""
    if not nested.is_nested(folder):
        return [folder]
    n_folds = search.read_definition(folder).config.outer_folds
    return [search.outer(folder, fold) for fold in range(n_folds)]


def is_over(folder: Path) -> bool:
    """Return whether all is made that is to be made."""
    if nested.is_nested(folder):
        return search.outer_results(folder, "metrics").exists()
    return run.is_over(run.read(folder))


def extend(folder: Path, n_trials: int) -> None:
    """Let a search have more trials: which they are follows from those that there are.

    Raises
    ------
    UsageError
        It has more, or only some of its trials are made, or it is that of outer folds.
    """
    found = search.read_definition(folder)
    if found.config.outer_folds:
        raise UsageError(
            "The searches of outer folds do not grow: their test folds judged them",
            where="--n_trials", fix="Begin a new search",
        )  # fmt: skip
    with files.turn(search.trials(folder)):
        if n_trials < found.config.n_trials or found.config.trials:
            raise UsageError(
                "A search loses no trials, and grows only where all are made", where="--n_trials",
                found=n_trials, fix=f"Its trials are {found.config.n_trials}",
            )  # fmt: skip
        config = found.config.model_copy(update={"n_trials": n_trials})
        search.write_definition(folder, found.model_copy(update={"config": config}))


def carry_out(
    folder: Path,
    *,
    n_proc: int,
    jobs: JobsConfig = HERE,
    watch: Watch = lambda: None,
    planned: SearchPlan | None = None,
) -> Search:
    """Make the trials that are left, here or in jobs.

    Parameters
    ----------
    folder
        Of the search.
    n_proc
        Workers.
    jobs
        Whether each is a job.
    watch
        Called whenever there may be something new.
    planned
        The plan, where it was just made.

    Raises
    ------
    InvalidDataError
        All trials failed.
    """
    definition = search.read_definition(folder)
    if jobs.submit is not None:
        submitted = submit(folder, definition, n_proc, jobs, planned)
        if jobs.submit == "local":
            _wait(submitted, folder, watch)
    elif n_proc == 1:
        work(folder, watch)
    else:
        _in_processes(folder, n_proc, watch)
    now = read(folder)
    if jobs.submit != "slurm":
        run.refuse_failed(now)
    return now


def commands(folder: Path, definition: Definition, n_workers: int) -> list[list[str]]:
    """Return the command of each job: that of a person who joins the search."""
    named = [word for path in plugins.paths() for word in ("--plugin", str(path))]
    threads = f"OMP_NUM_THREADS={definition.threads}"
    program = ["env", threads, sys.executable, "-m", "clinicadl", *named]
    return [[*program, "search", "resume", str(folder.absolute())]] * n_workers


def submit(
    folder: Path,
    definition: Definition,
    n_workers: int,
    jobs: JobsConfig,
    planned: SearchPlan | None,
) -> Jobs:
    """Submit a job for each worker.

    Raises
    ------
    UsageError
        Slurm refused the jobs.
    """
    needs: dict[str, object] = {
        "name": f"search-{folder.name}", "cpus_per_task": definition.threads,
    }  # fmt: skip
    if planned is not None:
        needs["mem_gb"] = ceil((planned.planned.needed.total + need.BASE) / _GB)
        if planned.planned.device.torch_device.type == "cuda":
            needs["gpus_per_node"] = 1
    return all_jobs.submit(
        commands(folder, definition, n_workers), jobs, search.jobs(folder), defaults=needs
    )


def _wait(submitted: Jobs, folder: Path, watch: Watch) -> None:
    """Wait for jobs of this machine.

    Raises
    ------
    ClinicaDLError
        A job failed, and there are trials left; of the kind of its exit code.
    """
    failed = []
    for one in all_jobs.ended(submitted):
        if one.exit_code != 0:
            failed.append(one)
        watch()
    if failed and not is_over(folder):
        first = failed[0]
        said = f"; it said: {first.last_line}" if first.last_line else ""
        raise kind_of(first.exit_code)(
            f"{len(failed)} workers failed, of which the first has its log", where=first.log,
            found=first.how + said, fix=f"Go on by: clinicadl search resume {folder}",
        )  # fmt: skip


def _in_processes(folder: Path, n_workers: int, watch: Watch) -> None:
    """Let some processes work, and wait for them.

    Raises
    ------
    ClinicaDLError
        What one of them met; or it was killed.
    """
    # A fork of a process that computes with several threads may wait for ever.
    context = multiprocessing.get_context("spawn")
    workers: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(n_workers):
            ours, theirs = context.Pipe(duplex=False)
            new = context.Process(target=_worker, args=(folder, plugins.paths(), theirs))
            new.start()
            theirs.close()
            workers.append((new, ours))
        _look_on([process for process, _ in workers], watch)
    finally:
        for process, _ in workers:
            process.terminate()
            process.join()
    for error in (_said(ours) for _, ours in workers):
        if error is not None:
            raise error
    codes = [process.exitcode for process, _ in workers if process.exitcode]
    if codes and not is_over(folder):
        raise ClinicaDLError(
            "A worker process was killed, most likely for want of memory", found=codes[0],
            fix=f"Go on with fewer: clinicadl search resume {folder} --n_proc 1",
        )  # fmt: skip


def _look_on(processes: Sequence[BaseProcess], watch: Watch) -> None:
    running = list(processes)
    while running:
        over = wait([one.sentinel for one in running], timeout=_LOOK_S)
        running = [one for one in running if one.sentinel not in over]
        watch()


def _said(connection: Connection) -> ClinicaDLError | None:
    """Return the error that a worker met, if it is over and met one."""
    try:
        error = connection.recv()
    except EOFError:
        return None
    return error if isinstance(error, ClinicaDLError) else None


def _worker(folder: Path, named: Sequence[Path], connection: Connection) -> None:
    begin_worker(named)
    try:
        work(folder)
    except ClinicaDLError as error:
        connection.send(error)
