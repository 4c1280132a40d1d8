"""Normalization of batches over all the processes that train together.

A network then learns from two processes with batches of 4 what it learns from one with batches of
8, also where it normalizes them [1]_.

References
----------
.. [1] S. Ioffe, C. Szegedy, Batch normalization, ICML 2015: algorithm 1, over all samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

_LOOKS_ON = "looks_on"
"""Attribute of a layer whose samples are not of the batch."""


def normalize_together(network: nn.Module) -> None:
    """Let each normalization of batches see those of all processes while the network learns.

    Parameters
    ----------
    network
        In every process; changed in place. A copy of it that was made before is not.
    """
    for layer in _layers(network):
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]


@contextmanager
def looking_on(network: nn.Module) -> Iterator[None]:
    """Let what the network is shown inside the block count for no normalization of the others."""
    layers = _layers(network)
    for layer in layers:
        setattr(layer, _LOOKS_ON, True)
    try:
        yield
    finally:
        for layer in layers:
            delattr(layer, _LOOKS_ON)


def _layers(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


# torch.compile would translate it anew for every size of maps, and stop at the sums all the same.
@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped
def _forward(layer: _BatchNorm, maps: Tensor) -> Tensor:
    if not layer.training:
        plain: Tensor = type(layer).forward(layer, maps)
        return plain
    share = 0.0 if hasattr(layer, _LOOKS_ON) else 1.0
    axes, shape = [0, *range(2, maps.ndim)], [1, -1, *[1] * (maps.ndim - 2)]
    values = maps.float()
    own = torch.full((1,), maps.numel() / maps.shape[1] * share, device=maps.device)
    *sums, n = _sum(torch.cat([values.sum(axes) * share, own]))
    mean = torch.stack(sums) / n
    centred = values - mean.view(shape)
    variance = _sum(centred.square().sum(axes) * share) / n
    _count(layer, mean.detach(), variance.detach(), float(n.detach()))
    scale = torch.rsqrt(variance + layer.eps)
    if layer.affine:
        scale = scale * layer.weight
    made: Tensor = centred * scale.view(shape)
    if layer.affine:
        made = made + layer.bias.view(shape)
    return made.to(maps.dtype)


def _count(layer: _BatchNorm, mean: Tensor, variance: Tensor, n: float) -> None:
    """Let a layer count a batch, as PyTorch's own does: with the variance over n - 1."""
    if layer.running_mean is None or layer.running_var is None:
        return
    momentum = layer.momentum
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        momentum = 1 / float(layer.num_batches_tracked) if momentum is None else momentum
    layer.running_mean.lerp_(mean, momentum or 0.0)
    layer.running_var.lerp_(variance * (n / (n - 1)), momentum or 0.0)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of what each makes of it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the sum."""
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        (gradient,) = gradients
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        return summed


def _sum(values: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return summed
