"""What a person sees while a command works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from clinicadl.config.task import TaskSettings
    from clinicadl.engine.events import Observer

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
    from clinicadl.cli.progress import TrainingProgress
    from clinicadl.config.task import Reconstruction

    if not (isinstance(task, Reconstruction) and task.visualization):
        return (TrainingProgress(),)
    from clinicadl.report.reconstructions import Sheets

    return (TrainingProgress(), Sheets())
