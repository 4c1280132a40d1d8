"""What the maps of a model are worth: tables that grow as they come by."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.attribution.gathered import MEAN
from clinicadl.attribution.score import (
    area_under_curve,
    by_region,
    dice_by_chance,
    dice_of_top,
    importance,
)
from clinicadl.attribution.truth import Atlas, Truth
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.statistics.intervals import Interval, bootstrap
from clinicadl.tasks.judging import mean_values, sums_of_values

DICE, AUC = "dice", "AUC"
CHANCE_OF_AUC = 0.5


class Judged:
    """Is told of the map of each image, and of their mean.

    Parameters
    ----------
    truth
        The voxels that are known to matter.
    top_fraction
        Share of the voxels that count as found.
    atlas
        The regions over which the mean map is averaged.
    participant_of
        Name of an image -> its participant.
    seed
        Of the experiment.
    """

    def __init__(
        self,
        truth: Truth | None,
        top_fraction: float | None,
        atlas: Atlas | None,
        *,
        participant_of: Mapping[str, str],
        seed: int,
    ) -> None:
        self._truth, self._top_fraction, self._atlas = truth, top_fraction, atlas
        self._participant_of, self._seed = participant_of, seed
        self._scores: list[tuple[str, float, float]] = []
        self._by_chance: list[float] = []
        self._regions: pd.DataFrame | None = None

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to judge by."""
        return self._truth is not None or self._atlas is not None

    def __call__(self, name: str, whole: Tensor) -> None:
        """Take note of a map, shape (channel, x, y, z); ``name`` is that of the image or `MEAN`."""
        mask = None if self._truth is None else self._truth.of(name)
        if mask is not None:
            self._score(name, whole, mask)
        if self._atlas is not None and name == MEAN:
            self._regions = by_region(whole.numpy(), self._atlas)

    def _score(self, name: str, whole: Tensor, mask: NDArray[np.bool_]) -> None:
        important = importance(whole.numpy())
        dice = dice_of_top(important, mask, self._top_fraction)
        self._scores.append((name, dice, area_under_curve(important, mask)))
        if name != MEAN:
            self._by_chance.append(dice_by_chance(mask, self._top_fraction))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return what was found.

        Returns
        -------
        ``scores``, a row a map; ``scores_mean``, a row a score, of the images; and ``regions``, a
        row a region.
        """
        found: dict[str, pd.DataFrame] = {}
        if self._scores:
            scores = pd.DataFrame(self._scores, columns=["map", DICE, AUC])
            found |= {"scores": scores, "scores_mean": self._means(scores)}
        if self._regions is not None:
            found["regions"] = self._regions
        return found

    def _means(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the mean of each score over the images, with its interval over participants."""
        of_images = scores[scores["map"] != MEAN]
        owned = of_images.assign(**{PARTICIPANT: of_images["map"].map(self._participant_of)})
        sums = sums_of_values(owned, (DICE, AUC))
        intervals = (
            bootstrap(sums, lambda drawn: mean_values(drawn, (DICE, AUC)), seed=self._seed)
            if len(sums) > 1
            else {}
        )
        nothing = Interval(nan, nan, nan)
        chances = {DICE: float(np.mean(self._by_chance)), AUC: CHANCE_OF_AUC}
        rows = [
            (name, of_images[name].mean(), *intervals.get(name, nothing), chance,
             len(of_images), len(sums))
            for name, chance in chances.items()
        ]  # fmt: skip
        columns = ["score", "mean", "low", "high", "SE", "by_chance", "n_images", "n_participants"]
        return pd.DataFrame(rows, columns=columns)
