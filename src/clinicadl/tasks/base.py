"""What every task can do, and the columns of its prediction tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # tables of predictions are read and compared without torch
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

TRUE_LABEL = "true_label"
PREDICTED_LABEL = "predicted_label"
LOSS = "loss"
"""Column of the loss of a sample, and name of the mean loss of a set."""
NO_LABEL = -1
POSITIVE_CLASS = "positive_class"
"""Column of a metrics table: the class that the metrics of two classes are about."""
"""Target of a sample whose label is unknown."""

Target = int | float | tuple[float, ...]
"""What the loss compares with: a class, a number, or several numbers."""

IMAGE = "image"
"""The mode in which an image is its own only part, and the level of what is said of images."""


def part_column(mode: str) -> str:
    """Return the column that names the part in the tables of a mode."""
    return f"{mode}_id"


class Task(Protocol):
    """What is learnt: the target, the loss, the reading of the output, the scores.

    In all functions ``outputs`` is what the network said of ``images``, the samples as it got them,
    shape (n, channel, ...), and ``targets`` holds the target of each, shape (n,) or (n, labels).
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of the table that are learnt; none where the image itself is."""
        ...

    @property
    def n_outputs(self) -> int:
        """Number of outputs that the network needs; 0 where it gives back an image."""
        ...

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of what `losses` returns, `LOSS` among them."""
        ...

    def target(self, cells: Sequence[str | None]) -> Target:
        """Return what the loss compares with, from the cells of `labels`; None: not known."""
        ...

    def strata(self, targets: Sequence[Target]) -> list[int]:
        """Return the class of each target, for samplers that even classes out."""
        ...

    def losses(self, outputs: Any, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return one loss a sample, shape (n,), and what it is made of; on their device."""
        ...

    def fitted(self, targets: Sequence[Target]) -> Task:
        """Return the task as the training of a split needs it, from the targets of its train."""
        ...

    def training_losses(self, outputs: Any, images: Tensor, targets: Tensor) -> Tensor:
        """Return one loss a sample, shape (n,), whose mean is made small; no set is judged by it.

        It differs from `LOSS` of `losses` where only the training weighs or changes something.
        """
        ...

    def predictions(self, outputs: Any, images: Tensor, targets: Tensor) -> dict[str, NDArray[Any]]:
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
    ) -> pd.DataFrame | None:
        """Return what the predictions of all parts of an image say of it, one row an image.

        None where nothing of the image follows from them. ``part`` is the column that names the
        part; what a part has to say is told from ``basis``, predictions of train or validation.
        """
        ...
