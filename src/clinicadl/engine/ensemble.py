"""What the models of several splits say together of a data group."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from clinicadl.config.predict import PredictConfig
from clinicadl.engine import votes
from clinicadl.engine.groups import Look
from clinicadl.errors import MissingInputError, UsageError, listed
from clinicadl.layouts.maps import names, outcomes
from clinicadl.tasks import vote
from clinicadl.tasks.base import IMAGE, TRUE_LABEL, part_column
from clinicadl.tasks.classification import ClassificationTask
from clinicadl.tasks.regression import RegressionTask

SPLIT = "split"
"""Column that names who said it: to the vote, a split is what a part of an image is."""


class Together(NamedTuple):
    """What several models say together, of images."""

    table: pd.DataFrame
    say: str
    """What each split had to say, in a line."""


def check(config: PredictConfig, look: Look) -> None:
    """Refuse an ensemble that cannot be.

    Raises
    ------
    UsageError
        The task has no mean, or one split alone is there.
    MissingInputError
        What the models said of validation is gone, and weighs them.
    """
    if not isinstance(look.task, ClassificationTask | RegressionTask):
        raise UsageError(
            "Only of a classification or a regression can models speak together",
            where="--ensemble", fix="Leave it out",
        )  # fmt: skip
    for metric in dict.fromkeys(model.metric for model in look.models):
        splits = _splits(look, metric)
        if len(splits) < 2:
            raise UsageError(
                "An ensemble needs the models of two splits", where="--ensemble",
                found=f"by {metric} split {listed(splits)}",
                fix="Train the other splits, or leave it out",
            )  # fmt: skip
        home, is_pulled = look.maps.path, look.maps.record.pulled is not None
        tables = [
            names.votes(home, split, metric)
            if is_pulled
            else names.predictions(names.results(home, split, metric, names.VALIDATION), IMAGE)
            for split in splits
        ]
        gone = [path for path in tables if not path.is_file()]
        if gone and config.ensemble_weights == "validation":
            raise MissingInputError(
                "What a model said of validation is gone, and weighs it", where=gone[0],
                fix="Leave out --ensemble_weights: all splits then have the same say",
            )  # fmt: skip


def together(look: Look, metric: str, weights: str) -> Together:
    """Return the weighted mean of what the models by a metric said of the images of a data group.

    Probabilities of a classification, numbers of a regression.

    Parameters
    ----------
    look
        The look; each of its models has spoken.
    metric
        Selection metric.
    weights
        ``equal``; or ``validation``: by the balanced accuracy of a split on its own validation, or
        by 1 over its mean absolute error. Never by the group that is judged: this would be
        biased ensemble learning [1]_.

    References
    ----------
    .. [1] E. Thibeau-Sutre et al., ClinicaDL: an open-source deep learning software for
       reproducible neuroimaging processing, 2022, section 2.2.
    """
    said = _said(look, metric, look.name)
    basis = _basis(look, metric) if weights == "validation" else None
    task = look.task
    if isinstance(task, ClassificationTask):
        shares = vote.equal(said, SPLIT) if basis is None else vote.weights(
            basis, SPLIT, threshold=0.0
        )  # fmt: skip
        table = vote.soft_vote(said, SPLIT, shares, n_classes=task.n_outputs)
        table[TRUE_LABEL] = table[TRUE_LABEL].astype(int)
        return Together(table, _shown(shares))
    assert isinstance(task, RegressionTask)  # noqa: S101  # `check` refused all others
    of_labels = {
        pair: vote.equal(said, SPLIT) if basis is None else vote.inverse_errors(basis, SPLIT, *pair)
        for pair in task.columns
    }
    lines = [
        f"{label}: {_shown(shares)}" if len(task.labels) > 1 else _shown(shares)
        for label, shares in zip(task.labels, of_labels.values(), strict=True)
    ]
    return Together(vote.weighted_means(said, SPLIT, of_labels), "; ".join(lines))


def _splits(look: Look, metric: str) -> list[int]:
    return [model.split for model in look.models if model.metric == metric]


def _said(look: Look, metric: str, name: str) -> pd.DataFrame:
    """Return what the models by a metric said of a data group, the splits below each other."""
    tables = [
        outcomes.read_predictions(look.maps.path, split, metric, name, IMAGE).assign(
            **{SPLIT: split}
        )
        for split in _splits(look, metric)
    ]
    return pd.concat(tables, ignore_index=True)


def _basis(look: Look, metric: str) -> pd.DataFrame:
    """Return what the models by a metric said of their validation, or what gives the same say."""
    if look.maps.record.pulled is None:
        return _said(look, metric, names.VALIDATION)
    tables = []
    for split in _splits(look, metric):
        rows = outcomes.read_votes(look.maps.path, split, metric, IMAGE)
        table = votes.expanded(look.task, rows, part_column(IMAGE))
        tables.append(table.assign(**{SPLIT: split}))
    return pd.concat(tables, ignore_index=True)


def _shown(shares: pd.Series[float]) -> str:
    whole = shares / shares.sum()
    return ", ".join(f"split {split} {share:.4g}" for split, share in whole.items())
