"""What a person sees while a network trains: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from clinicadl.engine.events import BatchDone, Evaluated, Event, SplitStarted

Clock = Callable[[], float]


class Pace:
    """How fast a split is trained, from what is done of it since this process began.

    Parameters
    ----------
    n_epochs
        Epochs of the split.
    n_batches
        Batches of an epoch.
    first_epoch
        Epoch that it begins with.
    now
        Seconds of the clock.
    """

    def __init__(self, n_epochs: int, n_batches: int, first_epoch: int, now: float) -> None:
        self._n_epochs, self._n_batches = n_epochs, n_batches
        self._epoch, self._n_done = first_epoch, 0
        self._split_began = self._epoch_began = now
        self._batches = self._samples = 0
        self._loss = 0.0

    @property
    def loss(self) -> float:
        """Mean loss of the samples of this epoch so far."""
        return self._loss / self._samples

    def rate(self, now: float) -> float:
        """Return the samples a second of this epoch so far."""
        return self._samples / max(now - self._epoch_began, 1e-9)

    def batch(self, event: BatchDone) -> None:
        """Count a batch."""
        self._epoch = event.epoch
        self._batches += 1
        self._samples += event.n_samples
        self._loss += event.loss * event.n_samples

    def end_epoch(self, epoch: int, now: float) -> None:
        """Count an epoch, with its evaluation; that of each of several networks is one."""
        if self._batches:
            self._n_done += 1
            self._epoch = epoch + 1
            self._epoch_began = now
            self._batches = self._samples = 0
            self._loss = 0.0

    def of_epoch(self) -> float:
        """Return the seconds of an epoch, over all that are done."""
        return (self._epoch_began - self._split_began) / max(self._n_done, 1)

    def left(self, now: float) -> float:
        """Return the seconds until the last epoch is done; an early stop comes sooner.

        Until an epoch is done, this is by the batches alone, without the evaluation.
        """
        begun = now - self._epoch_began
        share = self._batches / self._n_batches
        whole = self.of_epoch() if self._n_done else begun / max(share, 1e-9)
        rest = max(whole - begun, 0.0) if self._n_done else whole - begun
        return rest + (self._n_epochs - self._epoch - 1) * whole


class TrainingProgress:
    """Shows a training: a bar an epoch on a terminal, a line an epoch everywhere.

    Parameters
    ----------
    clock
        Seconds from any moment on.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._bar: Any = None
        self._start: SplitStarted | None = None
        self._pace = Pace(1, 1, 0, clock())

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        from clinicadl.engine.events import (
            BatchDone,
            Evaluated,
            SplitEnded,
            SplitInterrupted,
            SplitStarted,
        )

        if isinstance(event, SplitStarted):
            self._start = event
            self._pace = Pace(event.n_epochs, event.n_batches, event.first_epoch, self._clock())
            if event.first_epoch:
                click.echo(f"split {event.split}: goes on at epoch {event.first_epoch}", err=True)
        elif isinstance(event, BatchDone):
            self._pace.batch(event)
            if sys.stderr.isatty():
                self._advance(event)
        elif isinstance(event, Evaluated):
            self._evaluated(event)
        elif isinstance(event, SplitEnded):
            click.echo(f"split {event.split}: done ({event.why})", err=True)
        elif isinstance(event, SplitInterrupted):
            self._close()

    def _advance(self, event: BatchDone) -> None:
        from tqdm import tqdm

        if self._bar is None and self._start is not None:
            what = f"split {event.split}, epoch {event.epoch}/{self._start.n_epochs - 1}"
            self._bar = tqdm(
                total=self._start.n_batches, desc=what, unit="batch", leave=False,
                bar_format="{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}",
            )  # fmt: skip
        now = self._clock()
        self._bar.set_postfix_str(
            f"loss {self._pace.loss:.4g}, {self._pace.rate(now):.3g} samples/s, "
            f"split {_duration(self._pace.left(now))} left",
            refresh=False,
        )
        self._bar.update()

    def _evaluated(self, event: Evaluated) -> None:
        line = _line(event, self._start.n_epochs if self._start else 1)
        if not event.ends_epoch:
            # The bar goes on where it was, below the line.
            if self._bar is not None:
                self._bar.clear()
            click.echo(line, err=True)
            return
        self._close()
        now = self._clock()
        self._pace.end_epoch(event.row.epoch, now)
        seconds, left = self._pace.of_epoch(), self._pace.left(now)
        click.echo(f"{line}; {seconds:.3g} s an epoch, {_duration(left)} left", err=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _duration(seconds: float) -> str:
    """Return a time as people write it.

    Examples
    --------
    >>> _duration(3725.4)
    '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))


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
