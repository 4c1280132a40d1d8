"""The network of domain adaptation: one body, and heads that it is to serve or to deceive [1]_.

References
----------
.. [1] Ganin et al., Domain-adversarial training of neural networks, JMLR 17, 2016,
   arXiv:1505.07818
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from clinicadl.config.network import Conv5FC3SSDA
from clinicadl.networks.conv import linear_layers, n_features, pooled_blocks
from clinicadl.networks.fits import check_input

HIDDEN = (1300, 50)
"""Outputs of the first and of the second linear layer of each head."""
N_DOMAINS = 2
"""Source and target."""


class Adapted(NamedTuple):
    """What a network of two domains says of each sample."""

    source: Tensor
    """Class, by the head that learns from source images; shape (samples, n_outputs)."""
    target: Tensor
    """Class, by the head that learns from target images; shape (samples, n_outputs)."""
    domain: Tensor
    """Source or target; shape (samples, 2)."""


class _Reversed(torch.autograd.Function):
    """Values as they are; gradients times ``-alpha``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.alpha * gradients[0], None


def reverse_gradient(features: Tensor, alpha: float) -> Tensor:
    """Return the features; what learns through them learns the opposite, by the share ``alpha``."""
    reversed_: Tensor = _Reversed.apply(features, alpha)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return reversed_


class AdaptedNetwork(nn.Module):
    """The convolutions of Conv5_FC3, and three heads: source class, target class, domain.

    Parameters
    ----------
    input_shape
        Channels, then the size along the 2 or 3 axes.
    n_outputs
        Outputs of the two heads of classes.
    dropout
        Share of features dropped before the first linear layer of each head, in training.
    """

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int, *, dropout: float) -> None:
        super().__init__()
        n_channels, *sizes = input_shape
        given = n_features(sizes)
        self.convolutions = pooled_blocks(n_channels, len(sizes))
        self.fc_class_source = linear_layers(given, HIDDEN, n_outputs, dropout=dropout)
        self.fc_class_target = linear_layers(given, HIDDEN, n_outputs, dropout=dropout)
        self.fc_domain = linear_layers(given, HIDDEN, N_DOMAINS, dropout=dropout)
        self.register_load_state_dict_pre_hook(_widen_domain)  # type: ignore[no-untyped-call]  # idem

    def forward(self, images: Tensor, alpha: float = 1.0) -> Adapted:
        """Return what the three heads say.

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        alpha
            Share of the gradient of the domain that the convolutions get, with its sign reversed.
        """
        maps = self.convolutions(images)
        return Adapted(
            self.fc_class_source(maps),
            self.fc_class_target(maps),
            self.fc_domain(reverse_gradient(maps, alpha)),
        )


def _widen_domain(
    network: AdaptedNetwork, state: Mapping[str, Tensor], prefix: str, *_: object
) -> None:
    """Give the head of the domain the outputs of its weights: release 1.x had one a class."""
    found, own = state.get(f"{prefix}fc_domain.6.bias"), network.state_dict()["fc_domain.6.bias"]
    if found is not None and len(found) != len(own):
        network.fc_domain[-1] = nn.Linear(HIDDEN[1], len(found), device=own.device)


def conv5_fc3_ssda(
    settings: Conv5FC3SSDA, input_shape: tuple[int, ...], n_outputs: int
) -> AdaptedNetwork:
    """Return a Conv5_FC3_SSDA.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the heads of classes, the number of classes.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    return AdaptedNetwork(input_shape, n_outputs, dropout=settings.dropout)
