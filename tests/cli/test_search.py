"""What a person sees of a search."""

from __future__ import annotations

import io
import shlex
from math import inf

import pytest

from clinicadl.cli.search_progress import Table, conclusion, lines
from clinicadl.config.search import SearchConfig
from clinicadl.layouts import search
from clinicadl.layouts.search import Definition
from clinicadl.search import run
from clinicadl.search.journal import Journal, Outcome
from clinicadl.search.laws import Numbers
from clinicadl.search.workers import commands

LAW = {"optimization.learning_rate": Numbers(0.1, 0.9)}


@pytest.fixture
def folder(tmp_path):
    """A search of three trials that were drawn, and of which nobody made one."""
    what = Definition(
        config=SearchConfig(
            n_trials=3, experiment={"optimization": {"learning_rate": {"low": 0.1, "high": 0.9}}}
        ),
        higher_is_better=False, sizes={}, threads=2, tables={}, plugins={}, generated_by={},
        created="",
    )  # fmt: skip
    search.trials(tmp_path).mkdir()
    search.write_definition(tmp_path, what)
    journal = Journal(tmp_path, is_new=True)
    for rate in (0.1, 0.2, 0.3):
        raw = {"optimization.learning_rate": rate}
        journal.draw(raw, LAW, raw)
    return tmp_path


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


def finish(folder):
    journal = Journal(folder)
    for number in range(3):
        journal.begin(number)
    journal.report(0, 1, 0.75)
    journal.end(1, Outcome("complete", 0.5, {0: 0.5}, 4))
    journal.end(2, Outcome("failed", reason="it diverged"))


def test_a_terminal_gets_a_table_that_is_drawn_over_itself(folder):
    terminal = Terminal()
    times = iter([0.0, 0.0, 0.1, 9.0, 9.0])
    with Table(folder, stream=terminal, clock=lambda: next(times)) as table:
        table.look()
        table.look()  # too soon: nothing is drawn
        finish(folder)
        table.look()
    first, *later = terminal.getvalue().split("\x1b[")
    assert first == "0 of 3 trials\n"
    assert later[0].startswith("1F") and later[1] == "J0 of 3 trials\n"
    last = later[-1].removeprefix("J").splitlines()
    assert last[0] == "2 of 3 trials"
    assert last[2].split() == ["0", "running", "0.75", "1", "0.1"]
    assert last[3].split() == ["1", "complete", "0.5", "4", "0.2"]


def test_elsewhere_each_trial_is_a_line_when_it_is_over(folder):
    stream = io.StringIO()
    with Table(folder, stream=stream, clock=lambda: inf):
        finish(folder)
    assert stream.getvalue().splitlines() == [
        "trial 1 of 0-2: complete, loss 0.5 after 4 epochs",
        "trial 2 of 0-2: failed after 0 epochs: it diverged",
    ]


def test_in_the_end_the_best_trial_is_named_and_how_to_use_it(folder):
    finish(folder)
    found = run.read(folder)
    said = list(conclusion(found))
    assert said[0] == "trials: 1 running, 1 complete, 1 failed"
    assert said[1] == "trial 2 failed: it diverged"
    assert said[2] == "best: trial 1, loss 0.5 of validation"
    assert said[3] == f"MAPS: {search.maps(folder, 1)}"
    assert f"clinicadl predict {search.maps(folder, 1)} test" in said[4]
    assert len(lines(found)) == 4


def test_a_job_is_the_command_of_a_person_who_joins(folder):
    definition = search.read_definition(folder)
    words = commands(folder, definition, 2)
    assert len(words) == 2 and words[0] == words[1]
    assert shlex.join(words[0]).startswith("env OMP_NUM_THREADS=2 ")
    assert words[0][-3:] == ["search", "resume", str(folder)]


def test_workers_are_submitted_to_slurm(folder, slurm, invoke):
    code, out, said = invoke("search", "resume", folder, "--n_proc", 3, "--submit", "slurm")
    assert code == 0, said
    assert "3 jobs: 77_0, 77_1, 77_2" in out and "squeue --jobs 77" in out
    script = (slurm / "script.sh").read_text()
    assert "--cpus-per-task=2" in script and "--array=0-2" in script


def test_a_folder_without_a_search_is_told(tmp_path, invoke):
    code, _, said = invoke("search", "show", tmp_path)
    assert code == 66 and "not the folder of a search" in said
