"""Reconstruction: the image itself, the losses that compare it, and its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.config.architecture import Architecture
from clinicadl.config.task import Reconstruction
from clinicadl.errors import UsageError, listed
from clinicadl.networks.variational import Variational
from clinicadl.tasks import metrics_table as table
from clinicadl.tasks.added_metrics import with_added
from clinicadl.tasks.base import LOSS, Target
from clinicadl.tasks.judging import mean_values, sums_of_values
from clinicadl.tasks.losses import DISTANCES, EVIDENCE, Loss, Terms
from clinicadl.tasks.metrics import RECONSTRUCTION, ImageMetric
from clinicadl.tasks.regression import warn_of_reading
from clinicadl.tasks.similarity import Pair

RECONSTRUCTION_LOSS, DIVERGENCE_LOSS = "recon_loss", "kl_loss"
"""What the loss of a variational network is made of."""

Losses = Callable[[Any, Tensor], dict[str, Tensor]]
"""(outputs, images) -> the losses of each sample, by name."""


@dataclass(frozen=True)
class ReconstructionTask:
    """The image that the network was given."""

    loss_names: tuple[str, ...]
    compare: Losses
    metrics: Mapping[str, ImageMetric] = field(default_factory=lambda: RECONSTRUCTION)

    @property
    def labels(self) -> tuple[str, ...]:
        """No column: the image is its own target."""
        return ()

    @property
    def n_outputs(self) -> int:
        """0: the output is an image."""
        return 0

    def target(self, cells: Sequence[str | None]) -> float:
        """Return 0, of no account: the image is its own target."""
        return 0.0

    def strata(self, targets: Sequence[Target]) -> list[int]:
        """Return one class for all."""
        return [0] * len(targets)

    def losses(self, outputs: Any, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the losses of each sample, shape (n,), float32, under `loss_names`.

        Parameters
        ----------
        outputs
            Images of the shape of ``images``, or what a variational network says.
        images
            The samples as the network got them.
        targets
            Of no account.
        """
        return self.compare(outputs, images.float())

    def fitted(self, targets: Sequence[Target]) -> ReconstructionTask:
        """Return the task itself: it weighs nothing."""
        return self

    def training_losses(self, outputs: Any, images: Tensor, targets: Tensor) -> Tensor:
        """Return what `losses` returns as the loss."""
        return self.losses(outputs, images, targets)[LOSS]

    def predictions(self, outputs: Any, images: Tensor, targets: Tensor) -> dict[str, NDArray[Any]]:
        """Return how near what was given back is to each sample, by each metric, shape (n,)."""
        pairs = zip(images, given_back(outputs), strict=True)
        rows = [self.likeness(Pair(true, given)) for true, given in pairs]
        return {name: np.array([row[name] for row in rows]) for name in self.metrics}

    def likeness(self, pair: Pair) -> dict[str, float]:
        """Return each metric of an image and what was given back of it."""
        return {name: row.function(pair) for name, row in self.metrics.items()}

    def higher_is_better(self) -> dict[str, bool]:
        """Return of each name in `scores` whether the best model has the highest value."""
        rows = {name: row.higher_is_better for name, row in self.metrics.items()}
        return {**rows, **dict.fromkeys(self.loss_names, False)}

    def scores(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Return the mean of each metric over the rows of a set, and the mean losses.

        Parameters
        ----------
        predictions
            ``participant_id``, the metrics, the losses.
        """
        means = self._means(table.total(self._sums(predictions)))
        losses = table.mean_losses(predictions, self.loss_names)
        return {**{name: float(value) for name, value in means.items()}, **losses}

    def table(self, predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """Return the mean of each metric and loss, with 95 % intervals over participants.

        Parameters
        ----------
        predictions
            ``participant_id``, the metrics, the losses.
        seed
            Seed of the resamples.
        """
        return table.metrics_table(
            self._sums(predictions),
            self._means,
            table.mean_losses(predictions, self.loss_names),
            seed=seed,
        )

    def of_images(self, predictions: pd.DataFrame, part: str, *, basis: pd.DataFrame) -> None:
        """Return nothing: how near an image is does not follow from how near its parts are."""

    def _sums(self, predictions: pd.DataFrame) -> NDArray[np.float64]:
        """Return the number of rows and the sums of the metrics of each participant."""
        return sums_of_values(predictions, [*self.metrics])

    def _means(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the mean of each metric, from `_sums`, shape (..., 1 + metrics)."""
        return mean_values(sums, [*self.metrics])


def reconstruction(settings: Reconstruction, codes: object) -> ReconstructionTask:
    """Return the task that the settings describe.

    Parameters
    ----------
    settings
        Loss, and the weights of its terms.
    codes
        Of no account: images have no nodes.
    """
    metrics = with_added(RECONSTRUCTION, settings.kind, settings.extra_metrics)
    name = settings.loss or "MSELoss"
    if name in DISTANCES:
        warn_of_reading(name)
        return ReconstructionTask((LOSS,), partial(_distance, loss=DISTANCES[name]), metrics)
    names = (LOSS, RECONSTRUCTION_LOSS, DIVERGENCE_LOSS)
    kl_weight = Architecture.kl_weight if settings.kl_weight is None else settings.kl_weight
    return ReconstructionTask(
        names,
        partial(
            _evidence,
            loss=EVIDENCE[name],
            recons_weight=settings.recons_weight,
            kl_weight=kl_weight,
        ),
        metrics,
    )


def resolved(
    settings: Reconstruction, network: Architecture, outputs: Any, input_shape: Sequence[int]
) -> Reconstruction:
    """Return the settings with the loss, and its weights, that a network has where none is given.

    Parameters
    ----------
    settings
        Perhaps without a loss.
    network
        Settings of the network.
    outputs
        What the network says of one sample.
    input_shape
        Shape of the sample.

    Raises
    ------
    UsageError
        The network gives back no image of this shape, or the loss is not one for it.
    """
    is_variational = isinstance(outputs, Variational)
    image = outputs.reconstruction if is_variational else outputs
    shape = tuple(image.shape[1:]) if isinstance(image, Tensor) else ()
    if shape != tuple(input_shape):
        raise UsageError(
            "The network does not give back images of the shape that it gets",
            where="--architecture", found=f"{_shown(shape)} of {_shown(input_shape)}",
            fix="Take an autoencoder",
        )  # fmt: skip
    if not is_variational and (settings.recons_weight, settings.kl_weight) != (1, None):
        raise UsageError(
            "The network is not variational, and its loss has one term: there is nothing to weigh",
            where="--recons_weight, --kl_weight", fix="Leave them out",
        )  # fmt: skip
    fitting: Mapping[str, object] = EVIDENCE if is_variational else DISTANCES
    if settings.loss not in (None, *fitting):
        kind = "variational" if is_variational else "not variational"
        raise UsageError(
            f"The network is {kind}, and this loss is not for such networks", where="--loss",
            found=settings.loss, fix=f"Take one of {listed(fitting)}",
        )  # fmt: skip
    needed: dict[str, object] = {"loss": settings.loss or next(iter(fitting))}
    if is_variational and settings.kl_weight is None:
        needed["kl_weight"] = network.kl_weight
    return settings.model_copy(update=needed)


def given_back(outputs: Tensor | Variational) -> Tensor:
    """Return the images that a network gave back, shape (n, channel, ...)."""
    given = outputs if isinstance(outputs, Tensor) else outputs.reconstruction
    return given.float()


def _distance(outputs: Tensor, images: Tensor, *, loss: Loss) -> dict[str, Tensor]:
    return {LOSS: loss(outputs.float(), images)}


def _evidence(
    outputs: Variational,
    images: Tensor,
    *,
    loss: Callable[[Variational, Tensor], Terms],
    recons_weight: float,
    kl_weight: float,
) -> dict[str, Tensor]:
    terms = loss(outputs, images)
    whole = recons_weight * terms.reconstruction + kl_weight * terms.divergence
    if terms.normalization is not None:
        whole = whole + terms.normalization
    return {
        LOSS: whole,
        RECONSTRUCTION_LOSS: terms.reconstruction,
        DIVERGENCE_LOSS: terms.divergence,
    }


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape) or "no image"
