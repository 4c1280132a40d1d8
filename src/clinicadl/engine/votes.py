"""What parts and splits have to say, told without the predictions that it follows from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clinicadl.tasks.base import PREDICTED_LABEL, TRUE_LABEL, Task
from clinicadl.tasks.classification import ClassificationTask
from clinicadl.tasks.regression import RegressionTask

Rows = Sequence[Sequence[float]]
"""Of a classification: part, class, how many there are, how many of them are right. Of a
regression: part, then the mean absolute error of each label."""


def condensed(task: Task, basis: pd.DataFrame, part: str) -> list[list[float]] | None:
    """Return what `expanded` makes a basis of that gives the same say to the bit.

    Parameters
    ----------
    task
        What is learnt.
    basis
        Predictions of validation, a row a part of an image.
    part
        Column that names the part.

    Returns
    -------
    Sums over all participants; None for a task that has no vote of ours.
    """
    if isinstance(task, ClassificationTask):
        is_right = basis[TRUE_LABEL] == basis[PREDICTED_LABEL]
        of_class = is_right.groupby([basis[part], basis[TRUE_LABEL]])
        counts = of_class.agg(["size", "sum"]).reset_index()
        return [[float(cell) for cell in row] for row in counts.to_numpy()]
    if isinstance(task, RegressionTask):
        errors = {
            true: (basis[predicted] - basis[true]).abs().groupby(basis[part]).mean().sort_index()
            for true, predicted in task.columns
        }
        return [
            [float(cell) for cell in row] for row in pd.DataFrame(errors).reset_index().to_numpy()
        ]
    return None


def expanded(task: Task, rows: Rows, part: str) -> pd.DataFrame:
    """Return a basis that gives parts the say that they had; it is about nobody."""
    if isinstance(task, ClassificationTask):
        cells: list[dict[str, Any]] = []
        for number, label, n, n_right in rows:
            one = {part: int(number), TRUE_LABEL: int(label)}
            cells += [{**one, PREDICTED_LABEL: int(label)}] * int(n_right)
            cells += [{**one, PREDICTED_LABEL: -1}] * int(n - n_right)
        return pd.DataFrame(cells)
    assert isinstance(task, RegressionTask)  # noqa: S101  # `condensed` gave none of others
    return pd.DataFrame(
        [
            {part: int(number)}
            | {
                name: value
                for pair, error in zip(task.columns, errors, strict=True)
                for name, value in zip(pair, (0.0, error), strict=True)
            }
            for number, *errors in rows
        ]
    )
