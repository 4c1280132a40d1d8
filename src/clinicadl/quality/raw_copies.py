"""Which images show the same, as they are or with left and right exchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from clinicadl.quality.raw_facts import Voxels

_ALIKE = 0.9995
"""Correlation of the pictures of one scan saved in two ways; two people reach 0.980."""
_BLOCK = 512
"""Images whose pictures are compared with all others at once."""


class Picture(NamedTuple):
    """What tells whether two images are one."""

    values: int
    """The same for the same values in whatever order."""
    cells: Voxels
    """Mean 0, deviation 1, axes to the right, front and top."""


class Pair(NamedTuple):
    """Two images that show the same."""

    one: int
    other: int
    is_exact: bool
    """Whether their voxels have the same values, in whatever order they are stored."""
    is_mirrored: bool
    """Whether they agree better after left and right of one are exchanged."""


def pairs(pictures: Sequence[Picture | None]) -> Iterator[Pair]:
    """Yield the images that show the same, by their places; what shows nothing has no picture.

    Time grows with the square of the number of images: 10,000 take 40 s on one core.
    """
    places = [place for place, picture in enumerate(pictures) if picture is not None]
    known = [picture for picture in pictures if picture is not None]
    if len(known) < 2:
        return
    cells = np.stack([picture.cells for picture in known])
    cells /= np.sqrt(cells[0].size)
    rows = cells.reshape(len(cells), -1)
    for first in range(0, len(known), _BLOCK):
        block = cells[first : first + _BLOCK]
        direct = rows[first : first + _BLOCK] @ rows[first:].T
        crossed = block[:, ::-1].reshape(len(block), -1) @ rows[first:].T
        near = np.maximum(direct, crossed) >= _ALIKE
        for row, column in np.argwhere(np.triu(near, 1)):
            one, other = first + int(row), first + int(column)
            yield Pair(
                places[one], places[other],
                is_exact=known[one].values == known[other].values,
                is_mirrored=bool(crossed[row, column] > direct[row, column]),
            )  # fmt: skip
