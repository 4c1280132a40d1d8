"""What a person sees while a command works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def set_verbosity(level: int) -> None:
    """Show warnings of the package, more with ``-v``, only errors with ``-q``."""
    logging.basicConfig(format="clinicadl: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("clinicadl").setLevel(_LEVELS[max(-1, min(2, level))])


def progress(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield the items behind a bar on a terminal, behind about ten plain lines elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit="image")
        return
    step = max(1, total // 10)
    for number, item in enumerate(items, start=1):
        yield item
        if number % step == 0 or number == total:
            click.echo(f"{what}: {number}/{total}", err=True)
