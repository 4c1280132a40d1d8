"""What values a searched setting takes, and how likely each is."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clinicadl.config.search import Choices, Normal, Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Raw = int | float | str | bool | None
"""What is drawn of a setting, from which its value follows."""

_OUTERMOST = 1e-9
"""Share of an endless distribution that lies behind the outermost value drawn."""


class Law(Protocol):
    """How a setting is distributed."""

    def draw(self, generator: np.random.Generator) -> Raw:
        """Return what is drawn by a random stream."""
        ...

    def value(self, raw: Raw) -> Any:
        """Return the value of the setting that something drawn stands for."""
        ...

    def ends(self) -> Sequence[Raw]:
        """Return what stands for the outermost values, or for all where there is no order."""
        ...

    def optuna(self) -> BaseDistribution:
        """Return the distribution of what is drawn, as Optuna knows it."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Numbers of a range, or their logarithms, all equally likely."""

    low: int | float
    high: int | float
    """The greatest value, from ``low`` a whole number of steps away where there are steps."""
    is_log: bool = False
    step: int | float | None = None
    are_integers: bool = False

    def draw(self, generator: np.random.Generator) -> Raw:
        """Return what is drawn by a random stream."""
        if self.step is not None:
            n_steps = round((self.high - self.low) / self.step)
            return self._stepped(int(generator.integers(n_steps, endpoint=True)))
        if not self.is_log:
            if self.are_integers:
                return int(generator.integers(int(self.low), int(self.high), endpoint=True))
            return float(min(generator.uniform(self.low, self.high), self.high))
        # Integers share the line of the reals, each the half on both sides of it.
        margin = 0.5 if self.are_integers else 0.0
        ends = math.log(self.low - margin), math.log(self.high + margin)
        found = min(max(math.exp(generator.uniform(*ends)), self.low), self.high)
        return round(found) if self.are_integers else found

    def _stepped(self, number: int) -> int | float:
        if self.are_integers:
            return int(self.low + number * int(self.step or 1))
        # Decimal places are what a person wrote: 0.1 + 2 * 0.1 is 0.3.
        return float(Decimal(str(self.low)) + number * Decimal(str(self.step)))

    def value(self, raw: Raw) -> Any:
        """Return the value that something drawn stands for: itself, or the nearest step."""
        if self.step is None:
            return raw
        return self._stepped(round((float(raw or 0) - self.low) / self.step))

    def ends(self) -> Sequence[Raw]:
        """Return the least and the greatest value."""
        return self.low, self.high

    def optuna(self) -> BaseDistribution:
        """Return the distribution, as Optuna knows it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.are_integers:
            return IntDistribution(
                int(self.low), int(self.high), log=self.is_log, step=int(self.step or 1)
            )
        return FloatDistribution(self.low, self.high, log=self.is_log, step=self.step)


@dataclass(frozen=True)
class OneOf:
    """Values without an order; those that are no plain ones are drawn by their text."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Raw, ...]:
        """What is drawn, one a value."""
        return tuple(
            one if one is None or isinstance(one, bool | int | float | str) else json.dumps(one)
            for one in self.values
        )

    def draw(self, generator: np.random.Generator) -> Raw:
        """Return what is drawn by a random stream."""
        return self.labels[int(generator.integers(len(self.values)))]

    def value(self, raw: Raw) -> Any:
        """Return the value that something drawn stands for."""
        return self.values[self.labels.index(raw)]

    def ends(self) -> Sequence[Raw]:
        """Return all."""
        return self.labels

    def optuna(self) -> BaseDistribution:
        """Return the distribution, as Optuna knows it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.labels)


@dataclass(frozen=True)
class Bell:
    """A normal distribution that is cut off; what is drawn is the share of it that lies below."""

    mean: float
    deviation: float
    low: float
    high: float
    are_integers: bool = False

    def draw(self, generator: np.random.Generator) -> Raw:
        """Return what is drawn by a random stream."""
        return float(generator.uniform())

    def value(self, raw: Raw) -> Any:
        """Return the value below which a share of the distribution lies."""
        from scipy.stats import truncnorm

        cuts = ((end - self.mean) / self.deviation for end in (self.low, self.high))
        lowest, highest = self.ends()
        share = min(max(float(raw or 0), lowest), highest)
        found = float(truncnorm.ppf(share, *cuts, loc=self.mean, scale=self.deviation))
        found = min(max(found, self.low), self.high)
        return round(found) if self.are_integers else found

    def ends(self) -> tuple[float, float]:
        """Return the shares below the outermost values; there are some also where nothing ends."""
        return (
            0.0 if math.isfinite(self.low) else _OUTERMOST,
            1.0 if math.isfinite(self.high) else 1 - _OUTERMOST,
        )

    def optuna(self) -> BaseDistribution:
        """Return the distribution, as Optuna knows it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(0.0, 1.0)


def law(written: Range | Choices | Normal, *, are_integers: bool) -> Law:
    """Return the law that somebody wrote down.

    Parameters
    ----------
    written
        The range, list or distribution.
    are_integers
        Whether the setting is a whole number.

    Raises
    ------
    ValueError
        A number of a range of whole numbers is none.
    """
    if isinstance(written, Choices):
        return OneOf(written.choice)
    if isinstance(written, Normal):
        low, high = written.low, written.high
        return Bell(
            *written.normal,
            -math.inf if low is None else low,
            math.inf if high is None else high,
            are_integers,
        )
    numbers = (written.low, written.high, *([] if written.step is None else [written.step]))
    if are_integers and any(number != int(number) for number in numbers):
        raise ValueError("the setting is a whole number, and so is all of its range")
    high = written.high
    if written.step is not None:
        first, step = Decimal(str(written.low)), Decimal(str(written.step))
        last = first + (Decimal(str(high)) - first) // step * step
        high = int(last) if are_integers else float(last)
    if are_integers:
        return Numbers(int(written.low), int(high), written.log, written.step, are_integers=True)
    return Numbers(float(written.low), float(high), written.log, written.step)
