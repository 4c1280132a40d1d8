"""What a model is compared with that saw no image: the majority, the mean, age, sex and site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.task import Classification, Regression
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.report.judged import Planned, Said
from clinicadl.statistics.baselines import (
    Column,
    designs,
    folds_of,
    log_loss,
    logistic,
    penalty_of,
    ridge,
    shares,
    squared_error,
)
from clinicadl.tasks.base import PREDICTED_LABEL, TRUE_LABEL
from clinicadl.tasks.judging import columns_of

MAJORITY, MEAN = "majority class", "mean of train"


def baselines(planned: Planned, said: Said) -> Iterator[Said]:
    """Yield what simple models, fitted on the train of a model, say of the same data group.

    Parameters
    ----------
    planned
        The comparison.
    said
        What the model said.
    """
    if isinstance(planned.task, Classification):
        nodes = said.train[TRUE_LABEL].to_numpy(dtype=np.int64)
        of_train = shares(nodes, planned.n_classes)
        yield _classified(MAJORITY, said, np.tile(of_train, (len(said.table), 1)))
    elif isinstance(planned.task, Regression):
        pairs = columns_of(planned.task.labels)
        yield _guessed(MEAN, said, {p: float(said.train[t].mean()) for t, p in pairs})
    covariates = planned.covariates
    if covariates is None or not covariates.columns:
        return
    if not isinstance(planned.task, Classification | Regression):
        return
    name = " + ".join(covariates.columns)
    known, asked = (
        {column: cells for column, cells in covariates.of(table).items()
         if column in covariates.columns}
        for table in (said.train, said.table)
    )  # fmt: skip
    yield _of_covariates(planned, said, name, known, asked)


def _of_covariates(
    planned: Planned,
    said: Said,
    name: str,
    known: Mapping[str, Column],
    asked: Mapping[str, Column],
) -> Said:
    design, owner = designs(known, asked), said.train[PARTICIPANT].to_numpy()
    if isinstance(planned.task, Classification):
        nodes = said.train[TRUE_LABEL].to_numpy(dtype=np.int64)
        folds = folds_of(owner, nodes, seed=planned.seed)
        fit = partial(logistic, n_classes=planned.n_classes)
        penalty = penalty_of(known, nodes, folds, fit, log_loss)
        return _classified(name, said, fit(design, nodes, penalty))
    folds = folds_of(owner, np.zeros(len(owner)), seed=planned.seed)
    guesses: dict[str, float | NDArray[np.float64]] = {}
    for true, predicted in columns_of(planned.task.labels):
        truth = said.train[true].to_numpy(dtype=np.float64)
        penalty = penalty_of(known, truth, folds, ridge, squared_error)
        guesses[predicted] = ridge(design, truth, penalty)
    return _guessed(name, said, guesses)


def _classified(name: str, said: Said, probabilities: NDArray[np.float64]) -> Said:
    columns = {f"proba{node}": column for node, column in enumerate(probabilities.T)}
    table = said.table.assign(**{PREDICTED_LABEL: probabilities.argmax(1), **columns})
    return said._replace(name=name, table=table)


def _guessed(name: str, said: Said, guesses: Mapping[str, float | NDArray[np.float64]]) -> Said:
    table: pd.DataFrame = said.table.assign(**guesses)
    return said._replace(name=name, table=table)
