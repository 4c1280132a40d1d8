"""Regression: the numbers of one or several labels, their loss and their scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import isfinite, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.config.task import Regression
from clinicadl.errors import InvalidDataError
from clinicadl.tasks import metrics_table as table
from clinicadl.tasks import vote
from clinicadl.tasks.added_metrics import with_added
from clinicadl.tasks.base import LOSS, Target
from clinicadl.tasks.judging import columns_of, sums_of_moments
from clinicadl.tasks.losses import DISTANCES, READ_OTHERWISE, Loss
from clinicadl.tasks.metrics import REGRESSION, Metric, by_label, label_means

logger = logging.getLogger(__name__)

N_BINS = 5
"""Classes of equal width into which a sampler takes the numbers of a label."""


@dataclass(frozen=True)
class RegressionTask:
    """One or several numbers that belong to a sample."""

    labels: tuple[str, ...]
    loss: Loss
    weighs_parts: bool = False
    """Whether a part speaks for its image by 1 / MAE, and not like all others."""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: REGRESSION)

    @property
    def n_outputs(self) -> int:
        """One a label."""
        return len(self.labels)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The loss alone."""
        return (LOSS,)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names of truth and prediction of each label in the tables."""
        return columns_of(self.labels)

    def target(self, cells: Sequence[str | None]) -> float | tuple[float, ...]:
        """Return the number of each label, or of the only one; no number where it is not known.

        Raises
        ------
        InvalidDataError
            A cell is empty, or no finite number.
        """
        numbers = tuple(map(_number, cells, self.labels))
        return numbers[0] if len(numbers) == 1 else numbers

    def strata(self, targets: Sequence[Target]) -> list[int]:
        """Return the bin of each target, of 5 of equal width between the extremes.

        The last one holds the highest number too. Of several labels each combination of bins is
        a class of its own.
        """
        numbers = np.array(targets, dtype=np.float64).reshape(len(targets), -1)
        low, high = numbers.min(0), numbers.max(0)
        width = np.where(high > low, (high - low) / N_BINS, 1.0)
        bins = np.minimum((numbers - low) // width, N_BINS - 1).astype(np.int64)
        classes: list[int] = (bins @ N_BINS ** np.arange(bins.shape[1])).tolist()
        return classes

    def losses(self, outputs: Tensor, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return one loss a sample, shape (n,), float32: the mean over the labels.

        Parameters
        ----------
        outputs
            Shape (n, labels).
        images
            Of no account here.
        targets
            Shape (n,), or (n, labels).
        """
        return {LOSS: self.loss(outputs.float(), targets.float().reshape(outputs.shape))}

    def fitted(self, targets: Sequence[Target]) -> RegressionTask:
        """Return the task itself: it weighs nothing."""
        return self

    def training_losses(self, outputs: Any, images: Tensor, targets: Tensor) -> Tensor:
        """Return what `losses` returns as the loss."""
        return self.losses(outputs, images, targets)[LOSS]

    def predictions(
        self, outputs: Tensor, images: Tensor, targets: Tensor
    ) -> dict[str, NDArray[Any]]:
        """Return the columns ``true_label`` and ``predicted_label``.

        Of several labels ``true_<label>`` and ``predicted_<label>`` of each.

        Parameters
        ----------
        outputs
            Shape (n, labels).
        images
            Of no account here.
        targets
            Not a number where unknown, shape (n,) or (n, labels).
        """
        true, predicted = _as_written(targets.reshape(outputs.shape)), _as_written(outputs)
        pairs = enumerate(self.columns)
        return dict(
            chain.from_iterable(
                ((truth, true[:, i]), (prediction, predicted[:, i]))
                for i, (truth, prediction) in pairs
            )
        )

    def higher_is_better(self) -> dict[str, bool]:
        """Return of each name in `scores` whether the best model has the highest value."""
        return {**{name: row.higher_is_better for name, row in self.metrics.items()}, LOSS: False}

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Return each metric and the loss of a set; of several labels the mean.

        Parameters
        ----------
        predictions
            ``participant_id``, truth and prediction of each label, ``loss``.

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        values = label_means(table.total(self._sums(predictions)), self.metrics)
        losses = table.mean_losses(predictions, self.loss_names)
        return {**{name: float(value) for name, value in values.items()}, **losses}

    def table(self, predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """Return each metric and the loss of a set, with 95 % intervals over participants.

        Parameters
        ----------
        predictions
            ``participant_id``, truth and prediction of each label, ``loss``.
        seed
            Seed of the resamples.

        Returns
        -------
        As `metrics_table` says; of several labels one column a metric and label (``MAE-age``).

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        return table.metrics_table(
            self._sums(predictions),
            partial(by_label, labels=self.labels, metrics=self.metrics),
            table.mean_losses(predictions, self.loss_names),
            seed=seed,
        )

    def of_images(
        self, predictions: pd.DataFrame, part: str, *, basis: pd.DataFrame
    ) -> pd.DataFrame:
        """Return the mean of the parts of each image; weighed by 1 / MAE in the basis if wanted."""
        shares = [
            vote.inverse_errors(basis, part, *pair)
            if self.weighs_parts
            else vote.equal(predictions, part)
            for pair in self.columns
        ]
        return vote.weighted_means(predictions, part, dict(zip(self.columns, shares, strict=True)))

    def _sums(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return the sums of the moments of each participant, shape (participants, labels, 5).

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        return sums_of_moments(predictions, self.columns)


def regression(settings: Regression, codes: object) -> RegressionTask:
    """Return the task that the settings describe, with a warning where its loss is no distance.

    Parameters
    ----------
    settings
        Labels, loss, vote of the parts.
    codes
        Of no account: numbers have no nodes.
    """
    warn_of_reading(settings.loss)
    return RegressionTask(
        settings.label,
        DISTANCES[settings.loss],
        settings.vote == "inverse-mae",
        with_added(REGRESSION, settings.kind, settings.extra_metrics),
    )


def warn_of_reading(loss: str) -> None:
    """Warn of a loss that takes the outputs for something that tables and metrics do not."""
    if loss in READ_OTHERWISE:
        logger.warning(
            "%s takes the outputs for %s; tables and metrics compare them with the targets "
            "as they are", loss, READ_OTHERWISE[loss],
        )  # fmt: skip


def _number(cell: str | None, label: str) -> float:
    if cell is None:
        return nan
    if not isinstance(cell, str):
        raise InvalidDataError(
            "A session has no label", found=cell,
            fix="Complete the column, or leave the session out of the table",
        )  # fmt: skip
    try:
        number = float(cell)
    except ValueError:
        number = nan
    # Python takes 1_000 for a number, and a table never means it.
    if not isfinite(number) or "_" in cell:
        raise InvalidDataError(
            f"The label {label} is not a number", found=repr(cell),
            fix="Correct the cell, or leave the session out of the table",
        )  # fmt: skip
    return number


def _as_written(numbers: Tensor) -> NDArray[np.float64]:
    """Return numbers of single precision as the shortest decimals that stand for them.

    So the metrics are those of the table that is written, and 71.3 stands there as 71.3.
    """
    single = numbers.detach().cpu().float().numpy()
    return np.array([float(str(number)) for number in single.ravel()]).reshape(single.shape)
