"""What the maps of a model are worth: tables that grow as they come by."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.attribution.gathered import MEAN
from clinicadl.attribution.score import area_under_curve, by_region, dice_of_top, importance
from clinicadl.attribution.truth import Atlas


class Judged:
    """Is told of the map of each image, and of their mean.

    Parameters
    ----------
    mask
        The voxels that are known to matter.
    top_fraction
        Share of the voxels that count as found.
    atlas
        The regions over which the mean map is averaged.
    """

    def __init__(
        self, mask: NDArray[np.bool_] | None, top_fraction: float | None, atlas: Atlas | None
    ) -> None:
        self._mask, self._top_fraction, self._atlas = mask, top_fraction, atlas
        self._scores: list[tuple[str, float, float]] = []
        self._regions: pd.DataFrame | None = None

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to judge by."""
        return self._mask is not None or self._atlas is not None

    def __call__(self, name: str, whole: Tensor) -> None:
        """Take note of a map, shape (channel, x, y, z); ``name`` is that of the image or `MEAN`."""
        if self._mask is not None:
            important = importance(whole.numpy())
            dice = dice_of_top(important, self._mask, self._top_fraction)
            self._scores.append((name, dice, area_under_curve(important, self._mask)))
        if self._atlas is not None and name == MEAN:
            self._regions = by_region(whole.numpy(), self._atlas)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return what was found: ``scores``, a row a map, and ``regions``, a row a region."""
        found = {}
        if self._scores:
            found["scores"] = pd.DataFrame(self._scores, columns=["map", "dice", "AUC"])
        if self._regions is not None:
            found["regions"] = self._regions
        return found
