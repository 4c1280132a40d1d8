"""What a person sees while a command works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from clinicadl.config.task import TaskSettings
    from clinicadl.engine.events import BatchDone, Evaluated, Event, Observer

T = TypeVar("T")

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def set_verbosity(level: int) -> None:
    """Show warnings of the package, more with ``-v``, only errors with ``-q``."""
    logging.basicConfig(format="clinicadl: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger().handlers[0].addFilter(_Once())
    logging.getLogger("clinicadl").setLevel(_LEVELS[max(-1, min(2, level))])


class _Once:
    """Lets every message pass once: a table that is read twice is no news."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the message is new."""
        message = record.getMessage()
        is_new = message not in self._said
        self._said.add(message)
        return is_new


def progress(items: Iterable[T], *, total: int, what: str, unit: str = "image") -> Iterator[T]:
    """Yield the items behind a bar on a terminal, behind about ten plain lines elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit=unit)
        return
    step = max(1, total // 10)
    for number, item in enumerate(items, start=1):
        yield item
        if number % step == 0 or number == total:
            click.echo(f"{what}: {number}/{total}", err=True)


def watching(task: TaskSettings) -> tuple[Observer, ...]:
    """Return those who watch a training that a person started.

    Raises
    ------
    MissingExtraError
        Pictures are wanted, and a package is not installed.
    """
    from clinicadl.config.task import Reconstruction

    if not (isinstance(task, Reconstruction) and task.visualization):
        return (TrainingProgress(),)
    from clinicadl.report.reconstructions import Sheets

    return (TrainingProgress(), Sheets())


class TrainingProgress:
    """Shows a training: a bar an epoch on a terminal, a line an epoch everywhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._n_batches = 0
        self._n_epochs = 0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        from clinicadl.engine.events import BatchDone, Evaluated, SplitEnded, SplitStarted

        if isinstance(event, SplitStarted):
            self._n_batches, self._n_epochs = event.n_batches, event.n_epochs
            if event.first_epoch:
                click.echo(f"split {event.split}: goes on at epoch {event.first_epoch}", err=True)
        elif isinstance(event, BatchDone) and sys.stderr.isatty():
            self._advance(event)
        elif isinstance(event, Evaluated):
            self._close()
            click.echo(_line(event, self._n_epochs), err=True)
        elif isinstance(event, SplitEnded):
            click.echo(f"split {event.split}: done ({event.why})", err=True)

    def _advance(self, event: BatchDone) -> None:
        from tqdm import tqdm

        if self._bar is None:
            what = f"split {event.split}, epoch {event.epoch}"
            self._bar = tqdm(total=self._n_batches, desc=what, unit="batch", leave=False)
        self._bar.update()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _line(event: Evaluated, n_epochs: int) -> str:
    row = event.row
    shown = [name for name in ("loss", "BA", "MAE") if name in row.train]
    pairs = ", ".join(
        f"{name} {row.train[name]:.3f} train {row.validation[name]:.3f} validation"
        for name in shown
    )
    best = f"; best by {', '.join(event.improved)}" if event.improved else ""
    who = f"split {event.split}" + ("" if event.network is None else f", network {event.network}")
    return f"{who}, epoch {row.epoch} of 0-{n_epochs - 1}: {pairs}{best}"
