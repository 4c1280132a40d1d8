"""The sanity tests of the maps of a model, on some images of a data group as they come by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from clinicadl.attribution.methods import Method, Scored
from clinicadl.attribution.sanity import Check, Measured, Others, checks, problems, together


class Tested:
    """Is told of each batch, and tests the samples of images that were chosen.

    Parameters
    ----------
    method
        Makes the maps.
    others
        What each network of the model is compared with.
    chosen
        Numbers of the images, in the order of the group.
    n_parts
        Samples of an image.
    seed
        Of the experiment.
    """

    def __init__(
        self,
        method: Method,
        others: Sequence[Others],
        chosen: frozenset[int],
        *,
        n_parts: int,
        seed: int,
    ) -> None:
        self._method, self._others, self._seed = method, others, seed
        self._chosen, self._n_parts = chosen, n_parts
        self._measured: list[list[Measured]] = [[] for _ in others]

    def __call__(self, network: int, scored: Scored, images: Tensor, rows: Sequence[int]) -> None:
        """Take note of samples and their rows in the table; ``network`` is a number from 0 on."""
        wanted = [i for i, row in enumerate(rows) if row // self._n_parts in self._chosen]
        if wanted:
            own, whose = images[wanted], [rows[i] for i in wanted]
            found = checks(self._method, scored, self._others[network], own, whose, seed=self._seed)
            self._measured[network].extend(found)

    def table(self) -> pd.DataFrame:
        """Return what was found: columns as `Check`, and the number of the network."""
        tables = [
            pd.DataFrame(together(some), columns=[*Check._fields]).assign(network=number)
            for number, some in enumerate(self._measured)
        ]
        return pd.concat(tables, ignore_index=True)

    def problems(self) -> list[tuple[int, str]]:
        """Return what a reader of the maps must know: number of the network, and a sentence."""
        return [
            (number, sentence)
            for number, some in enumerate(self._measured)
            for sentence in problems(together(some))
        ]


def spread(n_images: int, n_wanted: int) -> frozenset[int]:
    """Return the numbers of some images of a group, evenly from the first to the last.

    Tables are often sorted by diagnosis or by site: the first images are not like all.

    Examples
    --------
    >>> sorted(spread(10, 4)), sorted(spread(3, 16))
    ([0, 3, 6, 9], [0, 1, 2])
    """
    places = np.linspace(0, n_images - 1, min(n_images, n_wanted)).round()
    return frozenset(int(place) for place in places)
