"""Averages of the weights, which are judged in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from clinicadl.config.schedule import Averaging, Exponential, NoAveraging, Stochastic

Share = Callable[[int], float | None]
"""Number of an update or epoch -> how far the average goes towards the weights; None: not yet."""


def none(settings: NoAveraging) -> Share:
    """Return that there is no average."""
    return lambda n: None


def exponential(settings: Exponential) -> Share:
    """Return the share of an exponential average: average <- d average + (1 - d) weights.

    d is ``ema_decay``, but at most (1 + n) / (10 + n) after n updates, so that the first weights,
    which are random, do not stay for a thousand updates [1]_.

    References
    ----------
    .. [1] ``tf.train.ExponentialMovingAverage`` with ``num_updates``.
    """
    return lambda n: 1 - min(settings.ema_decay, (1 + n) / (10 + n))


def stochastic(settings: Stochastic) -> Share:
    """Return the share of a mean over the epochs from ``swa_epoch`` on."""
    first = settings.swa_epoch
    return lambda epoch: 1 / (epoch - first + 1) if epoch >= first else None


def first(settings: Averaging, network: nn.Module) -> nn.Module | None:
    """Return the average before any update: a copy of the network; none where none is kept."""
    return None if settings.every == "never" else deepcopy(network).requires_grad_(False)


def is_judged(settings: Averaging, epoch: int) -> bool:
    """Return whether the average is what an epoch is judged by."""
    share_of: Share = settings.build()
    return settings.every == "update" or share_of(epoch) is not None


def after_update(settings: Averaging, average: nn.Module, network: nn.Module, updates: int) -> bool:
    """Take the weights after an update, and what normalizations have counted, into the average.

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

    Returns
    -------
    Whether they were taken.
    """
    return settings.every == "update" and _taken(settings, average, network, updates)


def after_epoch(settings: Averaging, average: nn.Module, network: nn.Module, epoch: int) -> bool:
    """Take the weights after an epoch into the average; return whether they were taken."""
    return settings.every == "epoch" and _taken(settings, average, network, epoch)


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


@torch.no_grad()
def _taken(settings: Averaging, average: nn.Module, network: nn.Module, n: int) -> bool:
    share_of: Share = settings.build()
    share = share_of(n)
    if share is None:
        return False
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
    return True
