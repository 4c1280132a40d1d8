"""Learning rates: a share of the rate, as a pure function of how far the training is."""

from __future__ import annotations

import math
from collections.abc import Callable

from clinicadl.config.optimization import OptimizationConfig
from clinicadl.config.schedule import Constant, Cosine, Linear, Step

Share = Callable[[float, float], float]
"""(epochs since the warm-up, epochs in all after it), both with fractions -> share of the rate."""


def constant(settings: Constant) -> Share:
    """Return the whole rate throughout."""
    return lambda since, most: 1.0


def step(settings: Step) -> Share:
    """Return the rate times ``step_factor`` to the number of steps that are behind."""
    return lambda since, most: settings.step_factor ** (since // settings.step_epochs)


def cosine(settings: Cosine) -> Share:
    """Return half a cosine from 1 to ``lowest_rate`` [1]_.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, 2017;
       one period.
    """
    low = settings.lowest_rate
    return lambda since, most: low + (1 - low) * (1 + math.cos(math.pi * since / most)) / 2


def linear(settings: Linear) -> Share:
    """Return a straight line from 1 to ``lowest_rate``."""
    return lambda since, most: 1 - (1 - settings.lowest_rate) * since / most


def rate(settings: OptimizationConfig, updates: int, *, per_epoch: int) -> float | None:
    """Return the learning rate of an update.

    No state is kept, so that a resumed training needs none. In the warm-up the rate grows in equal
    steps, and its last update has the whole rate.

    Parameters
    ----------
    settings
        Rate, warm-up and schedule.
    updates
        Updates before this one, over all epochs.
    per_epoch
        Updates in an epoch.

    Returns
    -------
    None where the rate is constant, or that of the plateaus.

    Examples
    --------
    >>> settings = OptimizationConfig(
    ...     learning_rate=1, epochs=4, warmup_epochs=1, schedule={"name": "linear"}
    ... )
    >>> [round(rate(settings, i, per_epoch=2), 3) for i in range(8)]
    [0.5, 1.0, 1.0, 0.833, 0.667, 0.5, 0.333, 0.167]
    """
    if isinstance(settings.schedule, Constant) and not settings.warmup_epochs:
        return None
    warming = settings.warmup_epochs * per_epoch
    if updates < warming:
        return settings.learning_rate * (updates + 1) / warming
    share: Share = settings.schedule.build()
    since = (updates - warming) / per_epoch
    return settings.learning_rate * share(since, settings.epochs - settings.warmup_epochs)
