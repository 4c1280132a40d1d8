"""What a person sees of a search: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from clinicadl.layouts.search import Trial
    from clinicadl.search.run import Opened, Search

_BETWEEN_S = 0.5
_ROWS = 15
"""Trials that the table shows on a terminal: the last that were begun."""


def said(folder: Path, *, with_trials: bool = False) -> Iterator[str]:
    """Yield what a person wants to know of a search: what it found, and how to use that.

    Parameters
    ----------
    folder
        Of the search.
    with_trials
        Whether every trial is listed.
    """
    from clinicadl.layouts import search
    from clinicadl.search import nested, run

    if not nested.is_nested(folder):
        found = run.read(folder)
        yield from lines(found) if with_trials else ()
        yield from conclusion(found)
        return
    for fold in range(search.read_definition(folder).config.outer_folds):
        found = run.read(search.outer(folder, fold))
        yield f"outer fold {fold}:"
        yield from lines(found) if with_trials else ()
        yield from counts(found)
    results = search.outer_results(folder, "metrics")
    if not results.exists():
        return
    yield from nested.summary(folder)
    yield f"each participant judged once, by models of a search that never saw them: {results}"


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


def counts(found: Search) -> Iterator[str]:
    """Yield how many trials ended how, why some failed, and which is the best."""
    states = [one.state for one in found.trials]
    number_of = {state: states.count(state) for state in dict.fromkeys(states)}
    listed = ", ".join(f"{n} {state}" for state, n in number_of.items())
    yield f"trials: {listed or 'none yet'}"
    for one in found.trials:
        if one.state == "failed":
            yield f"trial {one.number} failed: {one.reason}"
    best = found.best
    if best is not None:
        metric = found.definition.config.metric
        yield f"best: trial {best.number}, {metric} {best.value:.4g} of validation"


def conclusion(found: Search) -> Iterator[str]:
    """Yield what a search found, where the MAPS of the best trial is, and how to evaluate it."""
    yield from counts(found)
    if found.best is not None:
        maps = found.best.maps
        yield f"MAPS: {maps}"
        yield (
            "evaluate it, and no other trial, on people whom the search never saw: clinicadl "
            f"predict {maps} test --caps_directory CAPS --participants_tsv TEST.tsv"
        )


class Table:
    """Shows the trials of a search while they are made; of outer folds, those of all searches.

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
        from clinicadl.layouts import search
        from clinicadl.search import nested
        from clinicadl.search.run import opened

        self._searches: dict[str, Opened] = (
            {"": opened(folder)}
            if not nested.is_nested(folder)
            else {
                f"outer fold {fold}, ": opened(search.outer(folder, fold))
                for fold in range(search.read_definition(folder).config.outer_folds)
            }
        )
        self._stream = stream or sys.stderr
        self._clock, self._next = clock, 0.0
        self._n_drawn = 0
        self._said = {
            (name, one.number)
            for name, found in self._searches.items()
            for one in found.journal.trials()
            if _is_over(one)
        }

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

    def _show(self) -> None:
        known = {name: found.journal.trials() for name, found in self._searches.items()}
        if not self._stream.isatty():
            for name, trials in known.items():
                self._say(name, trials)
            return
        width = shutil.get_terminal_size().columns - 1
        drawn = [
            line[:width] for name, trials in known.items() for line in self._drawn(name, trials)
        ]
        up = f"\x1b[{self._n_drawn}F\x1b[J" if self._n_drawn else ""
        self._stream.write(up + "\n".join(drawn) + "\n")
        self._stream.flush()
        self._n_drawn = len(drawn)

    def _drawn(self, name: str, trials: Sequence[Trial]) -> Iterator[str]:
        """Yield the lines of one search: how far it is, and its last trials."""
        from clinicadl.search.run import Search

        definition = self._searches[name].definition
        begun = [one for one in trials if one.state != "waiting"]
        n_over, n = sum(map(_is_over, trials)), definition.config.n_trials
        yield f"{name}{n_over} of {n} trials"
        # Of several searches, one is made after the other: those that are over need no rows.
        if begun and (n_over < n or len(self._searches) == 1):
            last = Search(self._searches[name].folder, definition, tuple(begun[-_ROWS:]))
            yield from lines(last)

    def _say(self, name: str, trials: Sequence[Trial]) -> None:
        """Say a line of each trial that came to its end."""
        config = self._searches[name].definition.config
        for one in trials:
            if not _is_over(one) or (name, one.number) in self._said:
                continue
            self._said.add((name, one.number))
            value = "" if one.value is None else f", {config.metric} {one.value:.4g}"
            why = f": {one.reason}" if one.state == "failed" else ""
            click.echo(
                f"{name}trial {one.number} of 0-{config.n_trials - 1}: {one.state}{value} after "
                f"{one.epochs} epochs{why}",
                file=self._stream,
            )


def _is_over(one: Trial) -> bool:
    from clinicadl.layouts.search import FINISHED

    return one.state in FINISHED


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
