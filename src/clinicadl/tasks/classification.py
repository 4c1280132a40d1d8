"""Classification: the classes of a label, their nodes, their loss and their scores."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.config.task import Classification, Vote
from clinicadl.errors import InvalidDataError, listed
from clinicadl.tasks import metrics_table as table
from clinicadl.tasks import vote
from clinicadl.tasks.added_metrics import with_added
from clinicadl.tasks.base import (
    LOSS,
    NO_LABEL,
    POSITIVE_CLASS,
    PREDICTED_LABEL,
    TRUE_LABEL,
    Target,
)
from clinicadl.tasks.judging import confusions, independent_shares
from clinicadl.tasks.losses import CLASSIFICATION as LOSSES
from clinicadl.tasks.losses import Loss
from clinicadl.tasks.metrics import CLASSIFICATION, Metric, by_class, means

logger = logging.getLogger(__name__)

_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")


@dataclass(frozen=True)
class ClassificationTask:
    """Which of several classes a sample belongs to."""

    label: str
    codes: Mapping[str, int]
    """Text of the label -> node."""
    n_outputs: int
    loss: Loss
    selection_threshold: float = 0.0
    """Parts whose balanced accuracy is below have no say about their image."""
    vote: Vote = "balanced-accuracy"
    """How the parts of an image decide."""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: CLASSIFICATION)
    is_balanced: bool = False
    """Whether training weighs the classes by how rare they are."""
    class_weights: tuple[float, ...] = ()
    """Weights of the nodes in training, of a split; none: all alike."""
    label_smoothing: float = 0.0
    """Share of the truth that training spreads over all classes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The column that holds the class."""
        return (self.label,)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The loss alone."""
        return (LOSS,)

    def strata(self, targets: Sequence[Target]) -> list[int]:
        """Return the nodes themselves."""
        return [int(node) for node in targets if not isinstance(node, tuple)]

    def target(self, cells: Sequence[str | None]) -> int:
        """Return the node of a class, `NO_LABEL` without a label.

        Raises
        ------
        InvalidDataError
            The class was not there when the nodes were given, or the cell of the table is empty.
        """
        (label,) = cells
        if label is None:
            return NO_LABEL
        text = label_text(label)
        if text not in self.codes:
            raise InvalidDataError(
                f"A value of the label {self.label} is unknown to the model", found=label,
                fix=f"Leave these sessions out: the known values are {listed(self.codes)}",
            )  # fmt: skip
        return self.codes[text]

    def losses(self, outputs: Tensor, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return one loss a sample, shape (n,), float32; ``targets`` are nodes.

        Parameters
        ----------
        outputs
            Shape (n, classes).
        images
            Of no account here.
        targets
            Nodes, shape (n,).
        """
        return {LOSS: self.loss(outputs.float(), targets)}

    def fitted(self, targets: Sequence[Target]) -> ClassificationTask:
        """Return the task with the weights of the classes in a split.

        Of balanced ones n / (classes x number of the class), so that their mean over train is 1.

        Parameters
        ----------
        targets
            Nodes of train; every node is among them where weights are balanced.

        Raises
        ------
        InvalidDataError
            A class is absent from train: nothing would outweigh it.
        """
        if not self.is_balanced:
            return self
        counts = np.bincount(np.array(self.strata(targets)), minlength=self.n_outputs)
        absent = ["/".join(self._names(int(node))) for node in np.flatnonzero(counts == 0)]
        if absent:
            raise InvalidDataError(
                "A class without a session in train has no weight", where="--class_weights",
                found=listed(absent), fix="Split again, stratified by the label",
            )  # fmt: skip
        weights = counts.sum() / (self.n_outputs * counts)
        return replace(self, class_weights=tuple(float(weight) for weight in weights))

    def training_losses(self, outputs: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample times the weight of its class, its label smoothed.

        Smoothed, the truth is 1 - s + s / C for the class and s / C for each other [1]_.

        References
        ----------
        .. [1] C. Szegedy et al., Rethinking the inception architecture for computer vision, 2016.
        """
        if self.label_smoothing:
            losses = F.cross_entropy(
                outputs.float(), targets, reduction="none", label_smoothing=self.label_smoothing
            )
        else:
            losses = self.loss(outputs.float(), targets)
        if not self.class_weights:
            return losses
        return losses * torch.tensor(self.class_weights, device=targets.device)[targets]

    def predictions(
        self, outputs: Tensor, images: Tensor, targets: Tensor
    ) -> dict[str, NDArray[Any]]:
        """Return the columns ``true_label``, ``predicted_label``, ``proba0``, ``proba1``, ...

        Parameters
        ----------
        outputs
            Shape (n, classes); the probabilities are their softmax, in double precision.
        images
            Of no account here.
        targets
            Nodes, -1 where unknown, shape (n,).

        Returns
        -------
        Each of shape (n,); of classes with the same probability the first is predicted.
        """
        wide = outputs.detach().cpu().double()
        probabilities: NDArray[np.float64] = torch.softmax(wide, dim=1).numpy()
        return {
            TRUE_LABEL: targets.detach().cpu().long().numpy(),
            PREDICTED_LABEL: probabilities.argmax(axis=1),
            **{f"proba{node}": probabilities[:, node] for node in range(self.n_outputs)},
        }

    def higher_is_better(self) -> dict[str, bool]:
        """Return of each name in `scores` whether the best model has the highest value."""
        return {**{name: row.higher_is_better for name, row in self.metrics.items()}, LOSS: False}

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Return each metric and the loss of a set; of more than two classes the mean.

        Parameters
        ----------
        predictions
            Columns ``participant_id``, ``true_label``, ``predicted_label`` and ``loss``.

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        counts = self._counts(predictions)
        found = means(counts.sum(0), self.metrics)
        values = {name: float(value) for name, value in found.items()}
        return {**values, **table.mean_losses(predictions, self.loss_names)}

    def table(self, predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """Return each metric and the loss of a set, with 95 % intervals over participants.

        Parameters
        ----------
        predictions
            Columns ``participant_id``, ``true_label``, ``predicted_label`` and ``loss``.
        seed
            Seed of the resamples.

        Returns
        -------
        As `metrics_table` says; with one sample of each participant the intervals of shares of
        samples (accuracy, sensitivity, ...) are exact. With more than two classes there is one
        column a metric and class (``BA-0``), with two a last column that names the positive class
        in the first row.

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        losses = table.mean_losses(predictions, self.loss_names)
        statistics = partial(by_class, metrics=self.metrics)
        counts = self._counts(predictions)
        exact = independent_shares(counts, self.metrics)
        found = table.metrics_table(counts, statistics, losses, seed=seed, shares=exact)
        if self.n_outputs > 2:
            return found
        positive = "/".join(self._names(0))
        others = [table.NOT_APPLICABLE] * (len(table.ROWS) - 1)
        return found.assign(**{POSITIVE_CLASS: [positive, *others]})

    def of_images(
        self, predictions: pd.DataFrame, part: str, *, basis: pd.DataFrame
    ) -> pd.DataFrame:
        """Return the vote of the parts, each weighed by how right it is in the basis."""
        shares = vote.weights(basis, part, by=self.vote, threshold=self.selection_threshold)
        said = vote.hardened(predictions, self.n_outputs) if self.vote == "hard" else predictions
        return vote.soft_vote(said, part, shares, n_classes=self.n_outputs)

    def _counts(self, predictions: pd.DataFrame) -> NDArray[np.int64]:
        """Return the confusion of each participant, in the order of their identifiers.

        Raises
        ------
        InvalidDataError
            A sample has no label.
        """
        counts = confusions(predictions, self.n_outputs)
        present = np.flatnonzero(counts.sum((0, 2)))
        if len(present) == 1:
            logger.warning(
                "All %d samples have the same label %s: the metrics say little",
                len(predictions), "/".join(self._names(int(present[0]))),
            )  # fmt: skip
        return counts

    def _names(self, node: int) -> list[str]:
        return [label for label, code in self.codes.items() if code == node]


def classification(settings: Classification, codes: Mapping[str, int]) -> ClassificationTask:
    """Return the task that the settings and the nodes of the classes describe.

    Parameters
    ----------
    settings
        Label and loss.
    codes
        Class -> node, as `codes_of` gives; several classes may share a node.

    Raises
    ------
    InvalidDataError
        There are fewer than two nodes, or one is skipped.
    """
    normalised = _normalised(codes)
    nodes = sorted(set(normalised.values()))
    if nodes != list(range(len(nodes))) or len(nodes) < 2:
        raise InvalidDataError(
            f"The nodes of the label {settings.label} must be 0, 1, ... without a gap, "
            "at least two",
            found=_said(normalised),
            fix="Mend label_code",
        )
    return ClassificationTask(
        settings.label,
        normalised,
        len(nodes),
        LOSSES[settings.loss],
        settings.selection_threshold,
        settings.vote,
        with_added(CLASSIFICATION, settings.kind, settings.extra_metrics),
        is_balanced=settings.class_weights == "balanced",
        label_smoothing=settings.label_smoothing,
    )


def codes_of(labels: Iterable[str], settings: Classification) -> dict[str, int]:
    """Return the node of each class: as ``label_code`` says, else sorted classes are 0, 1, ...

    Classes that are all numbers are sorted as numbers.

    Parameters
    ----------
    labels
        The label of every session of every split, for training and for validation.
    settings
        Label, and ``label_code`` where the user gave one.

    Raises
    ------
    InvalidDataError
        A label is missing, has no code, or all belong to one class.
    """
    given = list(labels)
    present = sorted({label_text(label) for label in given}, key=_order(given))
    codes = (
        {label: node for node, label in enumerate(present)}
        if settings.label_code is None
        else _normalised(settings.label_code)
    )
    unknown = [label for label in present if label not in codes]
    if unknown:
        raise InvalidDataError(
            f"A value of the label {settings.label} has no node in label_code",
            found=listed(unknown),
            fix=f"Add it, or leave these sessions out: label_code has {listed(codes)}",
        )
    if len({codes[label] for label in present}) < 2:
        raise InvalidDataError(
            f"The label {settings.label} has one class", found=listed(present) or "no session",
            fix="Choose another label or more diagnoses: there is nothing to tell apart",
        )  # fmt: skip
    return codes


def label_text(label: str) -> str:
    """Return a label as text that is the same however a whole number is written.

    Raises
    ------
    InvalidDataError
        It is no text: the cell of the table is empty.

    Examples
    --------
    >>> label_text("1.0"), label_text("1"), label_text(" AD "), label_text("1.5")
    ('1', '1', 'AD', '1.5')
    """
    if not isinstance(label, str):
        raise InvalidDataError(
            "A session has no label", found=label,
            fix="Complete the column, or leave the session out of the table",
        )  # fmt: skip
    text = label.strip()
    whole = _WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text


def _normalised(codes: Mapping[str, int]) -> dict[str, int]:
    normalised: dict[str, int] = {}
    for label, node in codes.items():
        if normalised.setdefault(label_text(label), node) != node:
            raise InvalidDataError(
                "One class has two nodes", where="label_code", found=label_text(label),
                fix="Name it once",
            )  # fmt: skip
    return normalised


def _order(labels: Iterable[str]) -> Any:
    """Return the key that sorts labels: as numbers if all of them are, else as text."""
    try:
        numbers = {label_text(label): float(label) for label in labels}
    except ValueError:
        return None
    return lambda label: (numbers[label], label)


def _said(codes: Mapping[str, int]) -> str:
    return listed(f"{label}: {node}" for label, node in codes.items()) or "no class"
