"""What a training tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """Metrics of train and validation at one moment."""

    epoch: int
    iteration: int
    """Weight updates in this epoch."""
    time: float
    """Seconds since the training of this split began."""
    train: Mapping[str, float]
    validation: Mapping[str, float]


@dataclass(frozen=True)
class SplitStarted:
    """A split begins, or goes on after an interruption."""

    maps: Path
    split: int
    first_epoch: int
    n_epochs: int
    n_batches: int
    """Batches of one epoch."""
    updates_per_epoch: int
    histories: Mapping[int | None, tuple[Row, ...]]
    """Number of a network -> its rows so far; the number is None where there is one network."""


@dataclass(frozen=True)
class BatchDone:
    """One batch of training is done."""

    split: int
    epoch: int
    batch: int
    loss: float
    """Mean over its samples; of several networks, over these too."""
    n_samples: int
    """Samples that networks saw: parts, not images."""


@dataclass(frozen=True)
class Evaluated:
    """Train and validation were evaluated, inside an epoch or at its end."""

    split: int
    row: Row
    improved: tuple[str, ...]
    """Selection metrics whose best model this is; none inside an epoch."""
    history: tuple[Row, ...]
    network: int | None = None
    """Which of several networks."""
    ends_epoch: bool = True
    """Whether the epoch is over."""


@dataclass(frozen=True)
class SplitEnded:
    """A split is trained and its results are written."""

    split: int
    why: str


@dataclass(frozen=True)
class SplitInterrupted:
    """The training of a split ended early, by an error or by the user; it can go on later."""

    split: int


Event = SplitStarted | BatchDone | Evaluated | SplitEnded | SplitInterrupted


Judge = Callable[[Event], bool]
"""Says of an event whether the training ends with it."""


class Stopped(Exception):  # noqa: N818 - it is no error
    """A judge ended a training between two epochs; it could go on."""


class Observer(Protocol):
    """Watches a training; it gets frozen values and returns nothing."""

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        ...


def log_columns(row: Row) -> dict[str, float]:
    """Return a row as the columns of ``training.tsv``."""
    return {
        "epoch": row.epoch,
        "iteration": row.iteration,
        "time": round(row.time, 3),
        **{f"{name}_train": value for name, value in row.train.items()},
        **{f"{name}_valid": value for name, value in row.validation.items()},
    }
