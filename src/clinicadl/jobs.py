"""Commands as jobs of Slurm, or of this machine as if it were a cluster; only user of submitit."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from clinicadl.config.jobs import JobsConfig
from clinicadl.errors import MORE, MissingExtraError, UsageError
from clinicadl.layouts.files import writing

_LISTS = ("slurm_setup", "slurm_teardown", "slurm_srun_args")
"""Options that hold a list: given again, they add to it."""
_PAIRS = "slurm_additional_parameters"
"""The option that holds further pairs of KEY=VALUE."""
_OURS = {
    "nodes": "a job is one command on one node",
    "tasks_per_node": "a job is one command on one node",
    "ntasks_per_node": "a job is one command on one node",
    "stderr_to_stdout": "what a job says goes to two logs",
    "time": "the limit of time is timeout_min, in minutes",
}
"""Options that nobody else sets, and why."""
_PREFIXES = ("slurm_", "local_", "debug_")
_RESOURCES = {
    "mem_gb": ("mem",),
    "cpus_per_task": ("cpus",),
    "gpus_per_node": ("gpus", "gres"),
}
"""What a job needs -> how the options of Slurm begin that ask for the same.

Slurm refuses two that contradict each other.
"""

_LOCAL_MINUTES = 365 * 24 * 60
"""On this machine nobody waits behind us; submitit would stop a job after two minutes."""
_SLURM_MINUTES = 60
"""Where submitit would ask for five."""
_PAUSE_S = 0.1
_CANCEL_S = 10.0


@dataclass(frozen=True)
class Jobs:
    """Jobs that were submitted, in the order of their commands."""

    ids: tuple[str, ...]
    folder: Path
    """Where each job has its logs: ``<id>_0_log.out`` and ``<id>_0_log.err``."""
    handles: tuple[Any, ...] = field(repr=False)
    """What submitit knows of them."""

    @property
    def state_command(self) -> str:
        """What a person types to see the state of the jobs of Slurm."""
        return f"squeue --jobs {self.ids[0].partition('_')[0]}"


@dataclass(frozen=True)
class Ended:
    """What became of one job of this machine."""

    number: int
    """Place of its command, from 0."""
    exit_code: int | None
    """That of the command, as the operating system tells it; none if the job could not tell."""
    log: Path
    """What it said on standard error."""

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.exit_code is None:
            return "stopped from outside"
        if self.exit_code < 0:
            return f"killed by signal {-self.exit_code}, {signal.strsignal(-self.exit_code)}"
        return f"exit code {self.exit_code}"

    @property
    def last_line(self) -> str:
        """The last line that it said, if any, but for the one that leads to a page."""
        if not self.log.is_file():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = (line.strip() for line in reversed(lines) if not line.startswith(MORE))
        return next((line for line in said if line), "")


def check(settings: JobsConfig) -> None:
    """Refuse what can be refused of jobs before there are any; nothing is written.

    Raises
    ------
    MissingExtraError
        submitit is not installed.
    UsageError
        An option is wrong, or there is no Slurm here.
    """
    submitit = _submitit()
    wanted = _options(settings.slurm_option)
    try:
        with warnings.catch_warnings():
            # submitit takes some names with a warning and means others.
            warnings.simplefilter("error", UserWarning)
            executor = submitit.AutoExecutor(".", cluster="debug")
            executor.update_parameters(**wanted)
    except (NameError, AssertionError, UserWarning) as error:
        raise UsageError(
            "submitit does not take an option of the jobs", where="--slurm_option",
            found=str(error).splitlines()[0],
            fix="Options are those of its update_parameters: timeout_min, mem_gb, cpus_per_task, "
            "name, and with slurm_ before it what sbatch knows, as in slurm_partition",
        ) from error  # fmt: skip
    minutes = wanted.get("timeout_min", 1)
    if isinstance(minutes, int) and minutes < 1:
        raise UsageError(
            "A job needs time", where="--slurm_option timeout_min", found=minutes,
            fix="Give minutes, 1 or more",
        )  # fmt: skip
    absent = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if settings.submit == "slurm" and absent:
        raise UsageError(
            "There is no Slurm on this machine", where="--submit slurm",
            found=f"no {' and no '.join(absent)} in PATH",
            fix="Run the command on a login node of the cluster, or try it out with --submit local",
        )  # fmt: skip


def submit(
    commands: Sequence[Sequence[str]],
    settings: JobsConfig,
    folder: Path,
    *,
    defaults: Mapping[str, object],
) -> Jobs:
    """Submit commands as jobs that share nothing; on this machine, all start at once.

    A job holds its command and no code, so it runs whatever is installed when it starts.

    Parameters
    ----------
    commands
        Words of each command; the first is the program.
    settings
        Where the jobs run, and what they need; `check` has passed.
    folder
        Gets a folder 1, 2, ... for each time that jobs are submitted.
    defaults
        What the jobs need where the settings do not say it, be it in other words of Slurm; under
        the names of submitit.

    Raises
    ------
    UsageError
        Slurm refused the jobs.
    OutputError
        The folder cannot be written.
    """
    submitit = _submitit()
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    minutes = _LOCAL_MINUTES if settings.submit == "local" else _SLURM_MINUTES
    with writing(folder):
        home = _new_folder(folder)
        executor = submitit.AutoExecutor(home, cluster=settings.submit)
        wanted = _options(settings.slurm_option)
        needed = _unsaid(defaults, settings)
        executor.update_parameters(**{"timeout_min": minutes, **needed, **wanted})
        listed = [list(command) for command in commands]
        try:
            if settings.submit == "local":
                handles = _start(executor, listed)
            else:
                # Whoever asks Slurm shall hear that a command failed: hence the check.
                handles = executor.map_array(subprocess.check_call, listed)
        except (FailedJobError, FailedSubmissionError) as error:
            shutil.rmtree(home)
            raise UsageError(
                "Slurm refused the jobs", where="sbatch", found=" ".join(str(error).split()),
                fix="Correct --slurm_option",
            ) from error  # fmt: skip
    return Jobs(tuple(handle.job_id for handle in handles), home, tuple(handles))


def cores(settings: JobsConfig) -> int | None:
    """Return the cores of a job, where the settings of Slurm say them; nobody asks for them here.

    Raises
    ------
    UsageError
        An option is wrong.
    """
    wanted = _options(settings.slurm_option)
    said = wanted.get("slurm_cpus_per_task", wanted.get("cpus_per_task"))
    return said if settings.submit == "slurm" and isinstance(said, int) else None


def ended(jobs: Jobs) -> Generator[Ended, None, None]:
    """Yield the jobs of this machine as they end; those that have not are cancelled when we stop.

    Parameters
    ----------
    jobs
        They were submitted with ``local``.
    """
    running = dict(enumerate(jobs.handles))
    try:
        while running:
            over = [number for number, handle in running.items() if handle.done()]
            for number in over:
                handle = running.pop(number)
                yield Ended(number, _exit_code(handle), Path(handle.paths.stderr))
            if not over:
                time.sleep(_PAUSE_S)
    finally:
        _cancel(running.values())


def _submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MissingExtraError("submitit", "slurm") from error
    return submitit


def _start(executor: Any, commands: Sequence[list[str]]) -> list[Any]:
    handles: list[Any] = []
    try:
        for command in commands:
            handles.append(executor.submit(subprocess.call, command))
    except BaseException:
        _cancel(handles)
        raise
    return handles


def _cancel(handles: Iterable[Any]) -> None:
    """Interrupt jobs of this machine and wait until they are gone, for a while."""
    left = [handle for handle in handles if not handle.done()]
    for handle in left:
        handle.cancel()
    until = time.monotonic() + _CANCEL_S
    while time.monotonic() < until and not all(handle.done() for handle in left):
        time.sleep(_PAUSE_S)


def _exit_code(handle: Any) -> int | None:
    from submitit.core.utils import FailedJobError

    # A job that was killed leaves no result, and submitit would wait for one.
    if not handle.paths.result_pickle.exists():
        return None
    try:
        return int(handle.result())
    except FailedJobError:
        return None


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        new = folder / str(number)
        try:
            new.mkdir()
        except FileExistsError:
            continue
        return new
    raise AssertionError  # count() has no end


def _unsaid(defaults: Mapping[str, object], settings: JobsConfig) -> dict[str, object]:
    """Return the defaults whose resource no option names."""
    wanted = _options(settings.slurm_option)
    said = [key.removeprefix("slurm_") for key in (*wanted, *wanted.get(_PAIRS, ()))]
    return {
        name: value
        for name, value in defaults.items()
        if not any(key.startswith(_RESOURCES[name]) for key in said if name in _RESOURCES)
    }


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    """Return what submitit is told.

    Raises
    ------
    UsageError
        An option is no pair, is given twice, or is not for the user to decide.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals and text):
            raise UsageError(
                "An option of the jobs is no KEY=VALUE", where="--slurm_option", found=pair,
                fix="Write it as in slurm_partition=cpu",
            )  # fmt: skip
        bare = next((key.removeprefix(one) for one in _PREFIXES if key.startswith(one)), key)
        if bare in _OURS or key.startswith("local_"):
            raise UsageError(
                "An option of the jobs is not free", where="--slurm_option", found=pair,
                fix=f"Leave it out: {_OURS.get(bare, 'jobs of this machine need nothing')}",
            )  # fmt: skip
        if key in _LISTS:
            options.setdefault(key, []).append(text)
        elif key == _PAIRS:
            options[key] = {**options.get(key, {}), **_options_of_sbatch(text)}
        elif key in options:
            raise UsageError(
                "An option of the jobs is given twice", where="--slurm_option", found=key,
                fix="Give it once",
            )  # fmt: skip
        else:
            options[key] = text if bare in ("name", "job_name") else _value(text)
    return options


def _options_of_sbatch(text: str) -> dict[str, Any]:
    """Return the pair of an option of sbatch that submitit does not know.

    Raises
    ------
    UsageError
        It is no pair.
    """
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UsageError(
            "A further option of sbatch is no KEY=VALUE", where=f"--slurm_option {_PAIRS}",
            found=text, fix=f"Write it as in {_PAIRS}=reservation=night",
        )  # fmt: skip
    return {key: _value(value)}


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) else text
