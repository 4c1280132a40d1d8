"""What a variational autoencoder says."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Variational(NamedTuple):
    """What a variational autoencoder says of a batch."""

    reconstruction: Tensor
    """Shape of the input; in evaluation that of ``mu``, in training that of a drawn code."""
    mu: Tensor
    """Mean of the code, shape (n, ...)."""
    log_variance: Tensor
    """Logarithm of the variance of the code, shape of ``mu``."""


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
