"""Many images: order, processes and outcomes."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinicadl.errors import ClinicaDLError, InvalidDataError, OutputError
from clinicadl.work import outcomes


def halve(number: int) -> int:
    if number % 2:
        raise InvalidDataError("Odd", found=number)
    return number // 2


def slow_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0)
    return number


def no_space(number: int) -> int:
    raise OutputError("The output cannot be written", found="No space left on device")


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def touch(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("n_proc", [1, 2])
def test_an_error_becomes_an_outcome_and_the_others_go_on(n_proc):
    found = list(outcomes(halve, list(range(12)), n_proc=n_proc))
    assert [outcome.job for outcome in found] == list(range(12))
    assert [outcome.result for outcome in found if outcome.error is None] == list(range(6))
    assert {type(outcome.error) for outcome in found if outcome.error} == {InvalidDataError}
    assert str(found[3].error) == "Odd (found: 3)."


def test_outcomes_come_in_the_order_of_the_jobs():
    found = list(outcomes(slow_first, list(range(6)), n_proc=3))
    assert [outcome.result for outcome in found] == list(range(6))


@pytest.mark.parametrize("n_proc", [1, 2])
def test_an_output_that_cannot_be_written_ends_everything(n_proc):
    with pytest.raises(OutputError, match="No space left"):
        list(outcomes(no_space, [1, 2, 3], n_proc=n_proc))


def test_a_killed_worker_is_said_to_be_one():
    with pytest.raises(ClinicaDLError, match="want of memory"):
        list(outcomes(die, [1, 2, 3], n_proc=2))


def test_work_stops_when_the_reader_stops(tmp_path):
    jobs = [tmp_path / str(number) for number in range(400)]
    reader = outcomes(touch, jobs, n_proc=2)
    next(reader)
    reader.close()
    assert len(list(tmp_path.iterdir())) < 400


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom clinicadl.work import outcomes\n"
        "def mark(path):\n"
        "    import os\n"
        "    Path(path, str(os.getpid())).touch()\n"
        "    time.sleep(0.02)\n"
        "for number, _ in enumerate(outcomes(mark, [sys.argv[1]] * 999, n_proc=2)):\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert any("5" in line for line in parent.stdout)
        parent.kill()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    assert all(ends(worker) for worker in workers)


def ends(process: int) -> bool:
    """Wait until a process has ended, at most ten seconds."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    return bool(ended)
