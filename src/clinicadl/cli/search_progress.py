"""What a person sees of a search: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from clinicadl.layouts.search import Trial
    from clinicadl.search.run import Search

_BETWEEN_S = 0.5
_ROWS = 15
"""Trials that the table shows on a terminal: the last that were begun."""


def lines(found: Search) -> list[str]:
    """Return the table of all trials, with its header, columns beneath each other."""
    metric = found.definition.config.metric
    settings = dict.fromkeys(name for one in found.trials for name in one.settings)
    header = ["trial", "state", metric, "epochs", *(name.rpartition(".")[2] for name in settings)]
    rows = [
        [
            str(one.number),
            one.state,
            "" if one.value is None else f"{one.value:.4g}",
            str(one.epochs),
            *(_shown(one.settings.get(name, "")) for name in settings),
        ]
        for one in found.trials
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]


def conclusion(found: Search) -> list[str]:
    """Return what a person wants to know in the end: the best trial, and how to use it."""
    states = [one.state for one in found.trials]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    said = [f"trials: {', '.join(f'{n} {state}' for state, n in counts.items()) or 'none yet'}"]
    said += [
        f"trial {one.number} failed: {one.reason}" for one in found.trials if one.state == "failed"
    ]
    best = found.best
    if best is None:
        return said
    return [
        *said,
        f"best: trial {best.number}, {found.definition.config.metric} {best.value:.4g} of "
        "validation",
        f"MAPS: {best.maps}",
        "evaluate it, and no other trial, on people whom the search never saw: "
        f"clinicadl predict {best.maps} test --caps_directory CAPS --participants_tsv TEST.tsv",
    ]


class Table:
    """Shows the trials of a search while they are made.

    Parameters
    ----------
    folder
        Of the search.
    stream
        Where it is shown.
    clock
        Seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        from clinicadl.search.run import opened

        self._found, self._folder = opened(folder), folder
        self._stream = stream or sys.stderr
        self._clock, self._next = clock, 0.0
        self._n_drawn = 0
        self._said = {one.number for one in self._trials() if _is_over(one)}

    def look(self) -> None:
        """Show what is new, unless that was done a moment ago."""
        if self._clock() >= self._next:
            self._next = self._clock() + _BETWEEN_S
            self._show()

    def __enter__(self) -> Table:
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()

    def _trials(self) -> Sequence[Trial]:
        return self._found.journal.trials()

    def _show(self) -> None:
        from clinicadl.search.run import Search

        trials = self._trials()
        if not self._stream.isatty():
            self._say(trials)
            return
        begun = [one for one in trials if one.state != "waiting"]
        shown = Search(self._folder, self._found.definition, tuple(begun[-_ROWS:]))
        width = shutil.get_terminal_size().columns - 1
        rows = [line[:width] for line in lines(shown)] if begun else []
        n_over, n = sum(map(_is_over, trials)), self._found.definition.config.n_trials
        drawn = [f"{n_over} of {n} trials", *rows]
        up = f"\x1b[{self._n_drawn}F\x1b[J" if self._n_drawn else ""
        self._stream.write(up + "\n".join(drawn) + "\n")
        self._stream.flush()
        self._n_drawn = len(drawn)

    def _say(self, trials: Sequence[Trial]) -> None:
        """Say a line of each trial that came to its end."""
        n, metric = self._found.definition.config.n_trials, self._found.definition.config.metric
        for one in trials:
            if _is_over(one) and one.number not in self._said:
                self._said.add(one.number)
                value = "" if one.value is None else f", {metric} {one.value:.4g}"
                why = f": {one.reason}" if one.state == "failed" else ""
                click.echo(
                    f"trial {one.number} of 0-{n - 1}: {one.state}{value} after {one.epochs} "
                    f"epochs{why}",
                    file=self._stream,
                )


def _is_over(one: Trial) -> bool:
    from clinicadl.layouts.search import FINISHED

    return one.state in FINISHED


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
