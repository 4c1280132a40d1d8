"""Train, die of SIGKILL at chosen moments, go on, and die again: see ``test_kills.py``.

A process of its own, so that it forks while it has one thread. Each attempt is a fork that runs the
command line, so that torch is imported once. A moment is a place in the code and the number of
calls, of Python or of C, until then: from run to run it is the same one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch

from clinicadl.cli.main import run
from clinicadl.draws import generator
from clinicadl.engine import loop, one_split, state, train
from clinicadl.layouts.maps import folder

PHASES = {
    "epoch": loop.train_epoch,
    "evaluation": loop.score,
    "best model": loop._judged_best,
    "checkpoint": state.save,
    "log": folder.write_training_log,
    "results": one_split._conclude,
    "plan": train.plan,
}


class Clock:
    """Counts the calls in each phase, and kills this process at one of them."""

    def __init__(self, phase: str | None = None, moment: int = 0) -> None:
        self._codes = {function.__code__: name for name, function in PHASES.items()}
        self._within: list[str] = []
        self._phase, self._moment = phase, moment
        self.counts: Counter[str] = Counter()

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        """Take note of a call or of a return."""
        name = self._codes.get(frame.f_code) if event in ("call", "return") else None
        if name is not None and event == "return":
            self._within.pop()
        elif name is not None:
            self._within.append(name)
        elif self._within:
            self.counts[self._within[-1]] += 1
            if self._within[-1] == self._phase and self.counts[self._phase] >= self._moment:
                os.kill(os.getpid(), signal.SIGKILL)


def attempt(command: list[str], log: Path, clock: Clock, counts: Path | None = None) -> int:
    """Return how a fork ended that ran a command: its exit code, or minus its signal."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    code = 1
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.setprofile(clock)
        run(command)
    except SystemExit as done:
        code = int(done.code or 0)
    finally:
        sys.setprofile(None)
        if counts is not None:
            counts.write_text(json.dumps(clock.counts))
        os._exit(code)


def main(first: list[str], home: Path, n_kills: int) -> list[Mapping[str, object]]:
    """Kill ``n_kills`` times, and return what was tried; whole MAPS are in ``home``.

    Parameters
    ----------
    first
        The command that begins a training, without its MAPS.
    home
        An empty folder.
    n_kills
        How often.
    """
    counts = home / "counts.json"
    # A checkpoint after each epoch: without, those of so quick a training depend on the clock.
    loop.CHECKPOINT_SHARE = 1e9
    begin, options = first[:5], first[5:]
    with suppress(SystemExit), redirect_stdout(sys.stderr):
        # Here and not in a fork: what is imported late is then there for all of them.
        run([*begin, str(home / "whole"), *options])
    assert attempt([*begin, str(home / "counted"), *options], home / "log", Clock(), counts) == 0
    calls = json.loads(counts.read_text())
    draw, said = generator(0, "kills"), []
    number, phases = 0, list(PHASES)
    while True:
        maps = home / f"maps-{number}"
        n_done = sum(one["killed"] for one in said)
        phase = phases[len(said) % len(phases)] if n_done < n_kills else None
        moment = int(draw.integers(1, calls[phase] + 1)) if phase else 0
        is_new = not (maps / "maps.json").exists()
        command = [*begin, str(maps), *options] if is_new else ["train", "resume", str(maps)]
        code = attempt(command, home / "log", Clock(phase, moment))
        assert code in (0, -signal.SIGKILL), (home / "log").read_text()
        said.append({"maps": maps.name, "phase": phase, "moment": moment, "killed": code != 0})
        number += code == 0
        if phase is None:
            return said


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, where, n_times = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(main(arguments, Path(where), n_times)))
