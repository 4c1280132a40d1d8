"""Losses: one number a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

from clinicadl.errors import UsageError
from clinicadl.networks.variational import Variational

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, shape (n, ...); targets) -> losses, shape (n,)."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the log-probability of the true class, of each sample."""
    return F.cross_entropy(outputs, targets, reduction="none")


def multi_margin(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return by how much other classes come within 1 of the true one, mean over the classes."""
    return F.multi_margin_loss(outputs, targets, reduction="none")


CLASSIFICATION: dict[str, Loss] = {
    "CrossEntropyLoss": cross_entropy,
    "MultiMarginLoss": multi_margin,
}


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of each sample."""
    return _mean(F.mse_loss(outputs, targets, reduction="none"))


def l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error of each sample."""
    return _mean(F.l1_loss(outputs, targets, reduction="none"))


def huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean error of each sample: half its square up to 1, from there on linear."""
    return _mean(F.huber_loss(outputs, targets, reduction="none"))


def smooth_l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return what `huber` returns: with a bend at 1 the two are the same."""
    return _mean(F.smooth_l1_loss(outputs, targets, reduction="none"))


def kl_div(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of target (log target - output), with outputs that are log-probabilities."""
    return _mean(F.kl_div(outputs, targets, reduction="none"))


def bce_with_logits(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy, with outputs that are logits of the targets."""
    return _mean(F.binary_cross_entropy_with_logits(outputs, targets, reduction="none"))


DISTANCES: dict[str, Loss] = {
    "MSELoss": mse,
    "L1Loss": l1,
    "HuberLoss": huber,
    "SmoothL1Loss": smooth_l1,
    "KLDivLoss": kl_div,
    "BCEWithLogitsLoss": bce_with_logits,
}
"""Of numbers or voxels, outputs and targets of one shape (n, ...)."""

READ_OTHERWISE = {"KLDivLoss": "log-probabilities", "BCEWithLogitsLoss": "logits"}
"""What some losses take the outputs for, which tables and metrics take as they are."""


class Terms(NamedTuple):
    """What the loss of a variational network is made of, each of shape (n,)."""

    reconstruction: Tensor
    divergence: Tensor
    normalization: Tensor | None = None
    """Minus the logarithm of what the likelihood has to be multiplied by to be one."""


def divergence(outputs: Variational) -> Tensor:
    """Return the Kullback-Leibler divergence of the latent variables from standard normal ones."""
    mu, log_variance = outputs.mu.float(), outputs.log_variance.float()
    return _sum(mu**2 + log_variance.exp() - log_variance - 1) / 2


def gaussian(outputs: Variational, images: Tensor) -> Terms:
    """Return the sum of squared errors of each sample, and the divergence."""
    errors = F.mse_loss(outputs.reconstruction.float(), images.float(), reduction="none")
    return Terms(_sum(errors), divergence(outputs))


def bernoulli(outputs: Variational, images: Tensor) -> Terms:
    """Return the sum of binary cross-entropies of each sample, and the divergence.

    Raises
    ------
    UsageError
        A voxel that was given back lies outside of [0, 1].
    """
    given = _probabilities(outputs, "VAEBernoulliLoss")
    return Terms(_sum(_cross_entropies(given, images.float())), divergence(outputs))


def continuous_bernoulli(outputs: Variational, images: Tensor) -> Terms:
    """Return what `bernoulli` returns, and what makes the likelihood one of numbers [1]_.

    Raises
    ------
    UsageError
        A voxel that was given back lies outside of [0, 1].

    References
    ----------
    .. [1] G. Loaiza-Ganem, J. P. Cunningham, The continuous Bernoulli: fixing a pervasive error in
       variational autoencoders, NeurIPS 2019.
    """
    given = _probabilities(outputs, "VAEContinuousBernoulliLoss")
    cross_entropies = _sum(_cross_entropies(given, images.float()))
    return Terms(cross_entropies, divergence(outputs), -_sum(log_normalization(given)))


def log_normalization(probabilities: Tensor) -> Tensor:
    """Return log(log((1 - x) / x) / (1 - 2 x)) of each x, which is log 2 at its least, 0.5.

    x is kept within [1e-5, 1 - 1e-5].
    """
    u = 1 - 2 * probabilities.clamp(1e-5, 1 - 1e-5)
    # log((1 - x) / x) is 2 artanh u. Near 0 the gradient of the quotient is lost in rounding, and
    # a series takes its place; what `where` does not choose must be a number too.
    is_near = u.abs() < 0.1
    away, squared = torch.where(is_near, 0.5, u), torch.where(is_near, u, 0).square()
    series = squared * (1 / 3 + squared * (13 / 90 + squared * (251 / 2835)))
    return math.log(2) + torch.where(is_near, series, torch.log(torch.atanh(away) / away))


EVIDENCE: dict[str, Callable[[Variational, Tensor], Terms]] = {
    "VAEGaussianLoss": gaussian,
    "VAEBernoulliLoss": bernoulli,
    "VAEContinuousBernoulliLoss": continuous_bernoulli,
}
"""Of variational networks: sums over voxels and over latent variables."""

OF_PROBABILITIES = ("VAEBernoulliLoss", "VAEContinuousBernoulliLoss")
"""Losses that take an intensity for a probability."""


def _probabilities(outputs: Variational, name: str) -> Tensor:
    given = outputs.reconstruction.float()
    low, high = torch.aminmax(given.detach())
    if low < 0 or high > 1:
        raise UsageError(
            f"The network gives back voxels outside of [0, 1], of which {name} knows nothing",
            where="--loss", found=f"{low.item():g} to {high.item():g}", fix="Take VAEGaussianLoss",
        )  # fmt: skip
    return given


def _cross_entropies(given: Tensor, images: Tensor) -> Tensor:
    # PyTorch's own refuses images that augmentation took out of [0, 1]; else the two are the same.
    is_one = _at_least(torch.log, given, -100, pole=0)
    return -(images * is_one + (1 - images) * _at_least(torch.log1p, -given, -100, pole=-1))


def _at_least(log: Callable[[Tensor], Tensor], x: Tensor, least: float, *, pole: float) -> Tensor:
    """Return a logarithm that ends at ``least``, where its gradient is 0 and not no number."""
    is_number = x > pole
    return torch.where(is_number, log(x.where(is_number, pole + 1)).clamp(min=least), least)


def _mean(losses: Tensor) -> Tensor:
    return losses.flatten(1).mean(1)


def _sum(losses: Tensor) -> Tensor:
    return losses.flatten(1).sum(1)
