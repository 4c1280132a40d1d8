"""One function over many images: order, processes, outcomes, shards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from clinicadl.config import plugins
from clinicadl.errors import ClinicaDLError, OutputError

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Job, Result]):
    """What became of one job: its result, or the error that it met."""

    job: Job
    result: Result | None = None
    error: ClinicaDLError | None = None


def outcomes(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, n_proc: int
) -> Generator[Outcome[Job, Result], None, None]:
    """Yield what becomes of each job, in the order of the jobs.

    An error that the user can mend becomes an outcome and the others go on; only an output that
    cannot be written (no space, no permission) ends everything, since it would end every other job.

    Parameters
    ----------
    function
        Pure but for the files it writes; importable by name, since it may run in another process.
    jobs
        One job an image.
    n_proc
        Number of processes; 1 works in this one.

    Raises
    ------
    OutputError
        A job could not write its output.
    ClinicaDLError
        A worker process was killed from outside.
    """
    if n_proc == 1 or len(jobs) < 2:
        for job in jobs:
            yield _checked(_attempt(function, job))
        return
    pool = ProcessPoolExecutor(
        min(n_proc, len(jobs)), initializer=begin_worker, initargs=(plugins.paths(),)
    )
    try:
        waiting = iter(jobs)
        # A few jobs ahead of the reader: results never pile up, and processes never wait for it.
        running: list[Future[Outcome[Job, Result]]] = [
            pool.submit(_attempt, function, job) for job in islice(waiting, 4 * n_proc)
        ]
        while running:
            outcome = running.pop(0).result()
            for job in islice(waiting, 1):
                running.append(pool.submit(_attempt, function, job))
            yield _checked(outcome)
    except BrokenProcessPool as error:
        raise ClinicaDLError(
            "A worker process was killed, most likely for want of memory",
            fix="Run the same command again with a smaller --n_proc: finished images are kept",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(function: Callable[[Job], Result], job: Job) -> Outcome[Job, Result]:
    try:
        return Outcome(job, result=function(job))
    except ClinicaDLError as error:
        return Outcome(job, error=error)


def _checked(outcome: Outcome[Job, Result]) -> Outcome[Job, Result]:
    if isinstance(outcome.error, OutputError):
        raise outcome.error
    return outcome


def begin_worker(named: Sequence[Path]) -> None:
    """Leave Ctrl-C to the parent, which lets what runs end whole; end when it is killed.

    What the user named with ``--plugin`` is known here too, however this process was started.
    """
    for path in named:
        plugins.load(path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody is left to take the result, and what was begun is a leftover that harms nobody.
        os._exit(1)
