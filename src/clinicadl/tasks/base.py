"""What every task can do, and the columns of its prediction tables."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

TRUE_LABEL = "true_label"
PREDICTED_LABEL = "predicted_label"
LOSS = "loss"
"""Column of the loss of a sample, and name of the mean loss of a set."""
NO_LABEL = -1
"""Target of a sample whose label is unknown."""


IMAGE = "image"
"""The mode in which an image is its own only part, and the level of what is said of images."""


def part_column(mode: str) -> str:
    """Return the column that names the part in the tables of a mode."""
    return f"{mode}_id"


class Task(Protocol):
    """What is learnt: the target, the loss, the reading of the output, the scores."""

    @property
    def n_outputs(self) -> int:
        """Number of outputs that the network needs."""
        ...

    def target(self, label: str | None) -> int | float:
        """Return what the loss compares with; `NO_LABEL` without a label."""
        ...

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return one loss a sample, shape (n,)."""
        ...

    def predictions(self, outputs: Tensor, targets: Tensor) -> dict[str, NDArray[Any]]:
        """Return the columns of a prediction table: truth, conclusion, and what it rests on."""
        ...

    def higher_is_better(self) -> dict[str, bool]:
        """Return of each name in `scores` whether the best model has the highest value."""
        ...

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Return each metric of a set of predictions, in the order of the logs, the loss last."""
        ...

    def table(self, predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """Return the metrics table of a set of predictions, with confidence intervals."""
        ...

    def of_images(
        self, predictions: pd.DataFrame, part: str, *, basis: pd.DataFrame
    ) -> pd.DataFrame:
        """Return what the predictions of all parts of an image say of it, one row an image.

        ``part`` is the column that names the part; what a part has to say is told from ``basis``,
        predictions of train or validation.
        """
        ...
