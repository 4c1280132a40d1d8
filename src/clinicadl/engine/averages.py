"""Averages of the weights, which are judged in their place."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from clinicadl.config.schedule import Averaging, Exponential, NoAveraging, Stochastic


def first(settings: Averaging, network: nn.Module) -> nn.Module | None:
    """Return the average before any update: a copy of the network; none where none is kept."""
    if isinstance(settings, NoAveraging):
        return None
    return deepcopy(network).requires_grad_(False)


def is_judged(settings: Averaging, epoch: int) -> bool:
    """Return whether the average is what an epoch is judged by."""
    if isinstance(settings, Stochastic):
        return epoch >= settings.swa_epoch
    return isinstance(settings, Exponential)


@torch.no_grad()
def after_update(settings: Averaging, average: nn.Module, network: nn.Module, updates: int) -> None:
    """Take the weights into an exponential average: average <- d average + (1 - d) weights.

    d is ``ema_decay``, but at most (1 + n) / (10 + n) after n updates, so that the first weights,
    which are random, do not stay for a thousand updates [1]_. What normalizations have counted is
    averaged in the same way.

    Parameters
    ----------
    settings
        How.
    average
        Changed in place.
    network
        After the update.
    updates
        Updates before this one.

    References
    ----------
    .. [1] ``tf.train.ExponentialMovingAverage`` with ``num_updates``.
    """
    if isinstance(settings, Exponential):
        decay = min(settings.ema_decay, (1 + updates) / (10 + updates))
        _towards(average, network, 1 - decay)


@torch.no_grad()
def after_epoch(settings: Averaging, average: nn.Module, network: nn.Module, epoch: int) -> bool:
    """Take the weights of an epoch into a mean over epochs; return whether they are part of it."""
    if not (isinstance(settings, Stochastic) and is_judged(settings, epoch)):
        return False
    _towards(average, network, 1 / (epoch - settings.swa_epoch + 1))
    return True


def normalize_anew(average: nn.Module, images: Iterable[Tensor]) -> None:
    """Let the normalizations of a mean of weights count anew, which no training step did [1]_.

    Parameters
    ----------
    average
        Its running means and variances are replaced by those over the images.
    images
        Batches of train, on the device.

    References
    ----------
    .. [1] P. Izmailov et al., Averaging weights leads to wider optima and better generalization,
       UAI 2018.
    """
    update_bn(images, average)


def counts(network: nn.Module) -> bool:
    """Return whether a network has normalizations that count while it is trained."""
    return any(
        isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
        for layer in network.modules()
    )


def _towards(average: nn.Module, network: nn.Module, share: float) -> None:
    pairs = zip(
        chain(average.parameters(), average.buffers()),
        chain(network.parameters(), network.buffers()),
        strict=True,
    )
    for mean, now in pairs:
        if mean.is_floating_point():
            mean.lerp_(now, share)
        else:
            mean.copy_(now)
