"""What a variational autoencoder says, and the losses of it."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

LEAST_PROBABILITY = 1e-5
"""Distance from 0 and from 1 that a reconstruction keeps in the constant of its distribution."""
_NEAR = 0.1
"""Where the constant is its series: by its formula, the gradient there is lost in rounding."""


class Variational(NamedTuple):
    """What a variational autoencoder says of a batch."""

    reconstruction: Tensor
    """Shape of the input; in evaluation that of ``mu``, in training that of a drawn code."""
    mu: Tensor
    """Mean of the code, shape (n, ...)."""
    log_variance: Tensor
    """Logarithm of the variance of the code, shape of ``mu``."""


class Terms(NamedTuple):
    """The terms of a loss, each of shape (n,)."""

    reconstruction: Tensor
    """Summed over the voxels of the sample."""
    kl: Tensor
    """Divergence of the code from a standard normal, summed over the code."""
    constant: Tensor
    """Minus the logarithm of what makes the reconstruction's density one; zeros where it is 1."""


VariationalLoss = Callable[[Variational, Tensor], Terms]
"""(what the network says, input) -> terms."""


def drawn_code(mu: Tensor, log_variance: Tensor) -> Tensor:
    """Return a code of each sample, drawn from torch's generator, with gradients [1]_.

    Parameters
    ----------
    mu
        Means.
    log_variance
        Logarithms of the variances.

    References
    ----------
    .. [1] Kingma and Welling 2014, https://arxiv.org/abs/1312.6114
    """
    return mu + torch.randn_like(mu) * torch.exp(log_variance / 2)


def gaussian(said: Variational, images: Tensor) -> Terms:
    """Return the squared error and the divergence of each sample.

    Parameters
    ----------
    said
        Of the network.
    images
        Its input, shape (n, ...).
    """
    error = F.mse_loss(said.reconstruction, images, reduction="none")
    kl = _kl(said)
    return Terms(error.flatten(1).sum(1), kl, torch.zeros_like(kl))


def bernoulli(said: Variational, images: Tensor) -> Terms:
    """Return the binary cross-entropy and the divergence of each sample.

    Parameters
    ----------
    said
        Of the network; the reconstruction lies in [0, 1].
    images
        Its input, in [0, 1], shape (n, ...).
    """
    kl = _kl(said)
    return Terms(_cross_entropy(said.reconstruction, images), kl, torch.zeros_like(kl))


def continuous_bernoulli(said: Variational, images: Tensor) -> Terms:
    """Return the terms of minus the density of a continuous Bernoulli distribution [1]_.

    Parameters
    ----------
    said
        Of the network; the reconstruction lies in [0, 1].
    images
        Its input, in [0, 1], shape (n, ...).

    References
    ----------
    .. [1] Loaiza-Ganem and Cunningham 2019, https://arxiv.org/abs/1907.06845
    """
    constant = -_log_constant(said.reconstruction).flatten(1).sum(1)
    return Terms(_cross_entropy(said.reconstruction, images), _kl(said), constant)


def total(terms: Terms, *, recons_weight: float, kl_weight: float) -> Tensor:
    """Return the loss of each sample, shape (n,).

    Parameters
    ----------
    terms
        Of one of the losses.
    recons_weight
        Of the reconstruction.
    kl_weight
        Of the divergence.
    """
    return recons_weight * terms.reconstruction + kl_weight * terms.kl + terms.constant


def _kl(said: Variational) -> Tensor:
    mu, log_variance = said.mu, said.log_variance
    return (mu.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2


def _cross_entropy(probabilities: Tensor, images: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy(probabilities, images, reduction="none")
    return entropy.flatten(1).sum(1)


def _log_constant(probabilities: Tensor) -> Tensor:
    """Return log(C), C = log((1 - p) / p) / (1 - 2 p) = 2 atanh(1 - 2 p) / (1 - 2 p)."""
    kept = probabilities.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    away = 1 - 2 * kept
    is_near = away.abs() < _NEAR
    # What `where` does not choose must be finite, too, or its gradient is not.
    far = torch.where(is_near, _NEAR, away)
    squared = torch.where(is_near, away, 0).square()
    series = squared * (1 / 3 + squared * (13 / 90 + squared * (251 / 2835)))
    return log(2) + torch.where(is_near, series, torch.log(torch.atanh(far) / far))


VAE_LOSSES: dict[str, VariationalLoss] = {
    "VAEGaussianLoss": gaussian,
    "VAEBernoulliLoss": bernoulli,
    "VAEContinuousBernoulliLoss": continuous_bernoulli,
}
