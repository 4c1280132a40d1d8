"""Rows of text whose columns stand below each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

Row = Sequence[str]


def aligned(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each row, indented, every column as wide as its widest cell.

    Examples
    --------
    >>> [*aligned([["a", "bc"], ["def", "g"]])]
    ['  a    bc', '  def  g']
    """
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        yield f"  {'  '.join(cells)}".rstrip()
