"""How the blocks of a `RandomArchitecture` are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from clinicadl.config.drawn_architectures import ArchitectureRanges
from clinicadl.errors import UsageError

V = TypeVar("V", int, str)


class Chooser(Protocol):
    """Decides about one named thing after the other."""

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        ...

    def one_of(self, name: str, values: Sequence[V]) -> V:
        """Return one of some values."""
        ...


class Drawn:
    """Chooses by a random stream, everything with equal probability."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        return int(self._generator.integers(low, high, endpoint=True))

    def one_of(self, name: str, values: Sequence[V]) -> V:
        """Return one of some values."""
        return values[int(self._generator.integers(len(values)))]


class DrawnArchitecture(NamedTuple):
    """What the settings of a `RandomArchitecture` say of its layers."""

    convolutions_dict: dict[str, dict[str, Any]]
    n_fcblocks: int

    def settings(self) -> dict[str, Any]:
        """Return both under the names of the settings."""
        return self._asdict()


def drawn(ranges: ArchitectureRanges, chooser: Chooser, sizes: Sequence[int]) -> DrawnArchitecture:
    """Return an architecture whose last map has more than one element.

    Parameters
    ----------
    ranges
        Among which it is drawn. Numbers of blocks that leave one element are never drawn: the
        others are as likely as if a draw with one element was repeated.
    chooser
        Who decides: ``Drawn(generator)``, or a sampler that learns.
    sizes
        Of the input along each axis of space.

    Raises
    ------
    UsageError
        Even the fewest blocks leave one element.

    Examples
    --------
    >>> from clinicadl.draws import generator
    >>> ranges = ArchitectureRanges(n_convblocks=2, first_conv_width=8, n_fcblocks=[1, 3], n_conv=2)
    >>> found = drawn(ranges, Drawn(generator(0, "architecture")), (20, 20, 20))
    >>> [block["out_channels"] for block in found.convolutions_dict.values()]
    [8, 16]
    """
    low, high = ranges.n_convblocks
    most = most_blocks(sizes)
    if low > most:
        raise UsageError(
            "So many blocks leave one element of the image", where="n_convblocks", found=low,
            fix=f"An image of {' x '.join(map(str, sizes))} bears {most} at most",
        )  # fmt: skip
    n_blocks = chooser.integer("n_convblocks", low, min(high, most))
    width = chooser.one_of("first_conv_width", ranges.first_conv_width)
    reduction = chooser.one_of("d_reduction", ranges.d_reduction)
    blocks: dict[str, dict[str, Any]] = {}
    given: int | None = None
    for number in range(n_blocks):
        blocks[f"conv{number}"] = {
            "in_channels": given,
            "out_channels": width,
            "n_conv": chooser.one_of(f"n_conv/{number}", ranges.n_conv),
            "d_reduction": reduction,
        }
        given = width
        width = width if width >= ranges.channels_limit else 2 * width
    return DrawnArchitecture(blocks, chooser.integer("n_fcblocks", *ranges.n_fcblocks))


def most_blocks(sizes: Sequence[int]) -> int:
    """Return how often an image can be halved, rounding up, and keep more than one element.

    Examples
    --------
    >>> most_blocks((169, 208, 179)), most_blocks((2, 2)), most_blocks((1, 1))
    (7, 0, 0)
    """
    n_blocks, halved = 0, [ceil(size / 2) for size in sizes]
    while prod(halved) > 1:
        n_blocks, halved = n_blocks + 1, [ceil(size / 2) for size in halved]
    return n_blocks
