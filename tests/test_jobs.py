"""Commands as jobs: what is refused, what Slurm is told, how jobs of this machine end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clinicadl import jobs
from clinicadl.config.jobs import JobsConfig
from clinicadl.errors import MissingExtraError, UsageError

pytest.importorskip("submitit", reason='pip install "clinicadl[slurm]"')

LOCAL = JobsConfig(submit="local")
SBATCH = """#!/bin/bash
cp "$1" "$(dirname "$0")/script.sh"
pwd > "$(dirname "$0")/pwd"
echo "Submitted batch job 4242"
"""
# What is behind the options of srun is the program.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do [[ $1 == --unbuffered ]] || shift; shift; done
exec "$@"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with the programs of Slurm, first in the path; gets the script of the jobs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, words)]


def submitted(commands, folder, *options, to="local", defaults=None):
    settings = JobsConfig(submit=to, slurm_option=options)
    jobs.check(settings)
    return jobs.submit(commands, settings, folder, defaults=defaults or {})


def ends(process: int) -> bool:
    """Wait until a process has ended, at most ten seconds."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    over, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    return bool(over)


def parameters(script: Path) -> dict[str, str]:
    """Return the options of a script of sbatch."""
    rows = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH --")]
    return {key: value.strip("'") for key, _, value in (row[10:].partition("=") for row in rows)}


def test_each_job_tells_the_exit_code_of_its_command_and_its_log(tmp_path):
    commands = [
        python("print('fine')"),
        python("import sys; print('to the log', file=sys.stderr); sys.exit(3)"),
        python("import os; os.kill(os.getpid(), 9)"),
    ]
    found = submitted(commands, tmp_path / "logs")
    ended = {one.number: one for one in jobs.ended(found)}
    assert {number: one.exit_code for number, one in ended.items()} == {0: 0, 1: 3, 2: -9}
    assert [ended[number].how for number in range(3)] == [
        "exit code 0",
        "exit code 3",
        "killed by signal 9, Killed",
    ]
    assert ended[1].last_line == "to the log"
    assert ended[1].log == tmp_path / "logs" / "1" / f"{found.ids[1]}_0_log.err"
    said = ended[0].log.with_suffix(".out").read_text()
    assert "fine" in said.splitlines()


def test_a_job_whose_process_is_killed_could_not_tell(tmp_path):
    # The parent of the command is the process that submitit watches over it with.
    found = submitted([python("import os; os.kill(os.getppid(), 9)")], tmp_path / "logs")
    (one,) = jobs.ended(found)
    assert one.exit_code is None
    assert one.how == "stopped from outside"


def test_words_reach_the_command_as_they_are(tmp_path):
    words = ["a b", "--c=d", "$HOME", "é'\"", ""]
    code = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))"
    found = submitted([python(code, tmp_path / "said", *words)], tmp_path / "logs")
    assert [one.exit_code for one in jobs.ended(found)] == [0]
    assert (tmp_path / "said").read_text() == repr(words)


def test_jobs_end_when_the_reader_stops(tmp_path):
    os.mkfifo(tmp_path / "started")
    code = (
        "import os, signal, sys\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getppid()}\\n')\n"
        "signal.pause()\n"
    )
    commands = [python("pass"), python(code, tmp_path / "started")]
    reader = jobs.ended(submitted(commands, tmp_path / "logs"))
    processes = [int(word) for word in (tmp_path / "started").read_text().split()]
    assert next(reader).number == 0
    assert all(psutil.pid_exists(process) for process in processes)
    reader.close()
    assert all(ends(process) for process in processes)


def test_jobs_that_have_started_are_cancelled_when_another_cannot(tmp_path, monkeypatch):
    from submitit import AutoExecutor

    os.mkfifo(tmp_path / "started")
    code = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
    submit, processes = AutoExecutor.submit, []

    def once(*arguments):
        if processes:
            raise KeyboardInterrupt
        job = submit(*arguments)
        processes.append(int((tmp_path / "started").read_text()))
        return job

    monkeypatch.setattr(AutoExecutor, "submit", once)
    with pytest.raises(KeyboardInterrupt):
        submitted([python(code, tmp_path / "started")] * 2, tmp_path / "logs")
    assert ends(processes[0])


def test_each_submission_has_a_folder_of_its_own(tmp_path):
    folders = []
    for _ in range(2):
        found = submitted([python("pass")], tmp_path / "logs")
        folders.append(found.folder)
        assert [one.exit_code for one in jobs.ended(found)] == [0]
    assert folders == [tmp_path / "logs" / "1", tmp_path / "logs" / "2"]


def test_slurm_gets_one_array_with_what_the_jobs_need(tmp_path, slurm):
    options = (
        "slurm_partition=cpu", "timeout_min=90", "mem_gb=7.5", "slurm_account=007", "name=12",
        "slurm_setup=module load x", "slurm_setup=export A=b", "slurm_exclusive=true",
        "slurm_additional_parameters=reservation=night",
        "slurm_additional_parameters=licenses=two",
    )  # fmt: skip
    defaults = {"name": "example", "cpus_per_task": 3}
    found = submitted(
        [python("pass")] * 4, tmp_path / "logs", *options, to="slurm", defaults=defaults
    )
    assert found.ids == ("4242_0", "4242_1", "4242_2", "4242_3")
    assert found.state_command == "squeue --jobs 4242"
    said = parameters(slurm / "script.sh")
    expected = {
        "array": "0-3%4", "partition": "cpu", "time": "90", "mem": "7680MB", "account": "007",
        "job-name": "12", "cpus-per-task": "3", "exclusive": "", "reservation": "night",
        "licenses": "two", "nodes": "1",
        "error": str(tmp_path / "logs" / "1" / "%A_%a_0_log.err"),
    }  # fmt: skip
    assert {key: said.get(key) for key in expected} == expected
    lines = (slurm / "script.sh").read_text().splitlines()
    setup = lines.index("# setup")
    assert lines[setup + 1 : setup + 3] == ["module load x", "export A=b"]


def test_slurm_is_asked_for_an_hour_where_nothing_is_said(tmp_path, slurm):
    submitted([python("pass")], tmp_path / "logs", to="slurm", defaults={"name": "example"})
    said = parameters(slurm / "script.sh")
    assert (said["time"], said["job-name"]) == ("60", "example")
    assert "array" not in said


def test_the_script_of_the_array_runs_each_command_and_tells_its_failure(tmp_path, slurm):
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); sys.exit(int(sys.argv[2]))"
    targets = [tmp_path / str(number) for number in range(2)]
    commands = [python(code, target, 5 * i) for i, target in enumerate(targets)]
    found = submitted(commands, tmp_path / "logs", to="slurm")
    for number, target in enumerate(targets):
        assert not target.exists()
        array = {"SLURM_ARRAY_JOB_ID": "4242", "SLURM_ARRAY_TASK_ID": str(number)}
        ran = subprocess.run(
            ["bash", slurm / "script.sh"], env={**os.environ, **array, "SLURM_JOB_ID": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert target.exists(), ran.stderr
        # Slurm calls a job failed by this.
        assert (ran.returncode != 0) == (number == 1), ran.stderr
    assert found.folder == tmp_path / "logs" / "1"


def test_what_slurm_refuses_is_said_and_leaves_nothing(tmp_path, slurm):
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'sbatch: invalid partition' >&2\nexit 1\n")
    with pytest.raises(UsageError, match="Slurm refused.*invalid partition"):
        submitted([python("pass")] * 2, tmp_path / "logs", to="slurm")
    assert list((tmp_path / "logs").iterdir()) == []


def test_an_answer_of_slurm_that_nobody_understands_is_said(tmp_path, slurm):
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'welcome'\n")
    with pytest.raises(UsageError, match="welcome"):
        submitted([python("pass")] * 2, tmp_path / "logs", to="slurm")


@pytest.mark.parametrize("absent", ["sbatch", "srun"])
def test_without_slurm_nothing_is_submitted_to_it(slurm, monkeypatch, absent):
    (slurm / absent).unlink()
    monkeypatch.setenv("PATH", str(slurm))
    with pytest.raises(UsageError, match=f"no Slurm.*no {absent} in PATH") as caught:
        jobs.check(JobsConfig(submit="slurm"))
    assert caught.value.exit_code == 2
    jobs.check(LOCAL)


def test_without_submitit_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[slurm\]"):
        jobs.check(LOCAL)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("slurm_partition",), "KEY=VALUE"),
        (("slurm_partition=",), "KEY=VALUE"),
        (("=cpu",), "KEY=VALUE"),
        (("partition=cpu",), "slurm_partition"),
        (("slurm_partitions=cpu",), "partitions"),
        (("memory=8",), "memory"),
        (("timeout_min=soon",), "timeout_min"),
        (("timeout_min=1.5",), "timeout_min"),
        (("timeout_min=0",), "needs time"),
        (("mem_gb=8GB",), "mem_gb"),
        (("mem_gb=8", "mem_gb=9"), "twice"),
        (("nodes=2",), "one node"),
        (("slurm_nodes=2",), "one node"),
        (("tasks_per_node=2",), "one node"),
        (("slurm_time=60",), "timeout_min"),
        (("local_setup=cd x",), "not free"),
        (("debug_x=1",), "debug_x"),
        (("slurm_additional_parameters=night",), "reservation=night"),
    ],
)
@pytest.mark.parametrize("to", ["local", "slurm"])
def test_a_wrong_option_is_refused(slurm, to, options, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        jobs.check(JobsConfig(submit=to, slurm_option=options))
    assert "--slurm_option" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_slurm_alone_can_do_does_not_disturb_this_machine(tmp_path):
    options = ("slurm_partition=cpu", "mem_gb=8", "cpus_per_task=3", "timeout_min=5")
    found = submitted([python("pass")], tmp_path / "logs", *options)
    assert [one.exit_code for one in jobs.ended(found)] == [0]


def test_a_job_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    from submitit.local import local

    # Nobody waits for a minute: submitit's watcher gets two seconds, and signals after one.
    monkeypatch.setattr(local, "start_controller", _quick(local.start_controller))
    found = submitted([python("import signal; signal.pause()")], tmp_path / "logs", "timeout_min=1")
    (one,) = jobs.ended(found)
    assert one.exit_code is None
    assert one.how == "stopped from outside"
    assert "not checkpointable" in one.last_line


def _quick(start):
    def quick(**settings):
        return start(**{**settings, "timeout_min": 2 / 60, "signal_delay_s": 1})

    return quick
