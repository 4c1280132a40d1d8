"""What a search tries, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from clinicadl.config.base import Section, setting
from clinicadl.config.drawn_architectures import ArchitectureRanges
from clinicadl.config.read import content_of, judged, settings

Number = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(Section):
    """A range of numbers, both ends included."""

    low: Number
    high: Number
    log: bool = False
    """Whether their logarithms are equally likely, not they."""
    step: Number | None = Field(default=None, gt=0)
    """Distance between the values, from ``low`` on."""

    @model_validator(mode="after")
    def _is_one(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"the range ends, at {self.high}, where it begins, or before")
        if self.log and self.low <= 0:
            raise ValueError("numbers have a logarithm above 0 only: low must be above")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError("the first step leads out of the range")
        return self


class Choices(Section):
    """One of some values, all equally likely."""

    choice: tuple[Any, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _differ(self) -> Choices:
        for number, value in enumerate(self.choice):
            if any(value == other for other in self.choice[:number]):
                raise ValueError(f"one value stands there twice: {value}")
        return self


def _mean_and_deviation(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Normal(Section):
    """A normal distribution, cut off at both ends where they are given."""

    normal: Annotated[tuple[Number, Number], BeforeValidator(_mean_and_deviation)]
    """Mean and standard deviation."""
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Normal:
        if self.normal[1] <= 0:
            raise ValueError("the standard deviation must be above 0")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("the distribution ends where it begins, or before")
        return self


class SearchConfig(Section):
    """How many trials, how they are drawn and judged, and of what."""

    n_trials: int = setting(20, "Trials", ge=1, le=10_000)
    sampler: Literal["tpe", "random"] = setting(
        "tpe", "Draw where good trials were (tree-structured Parzen estimator), or anywhere"
    )
    n_startup: int = setting(10, "First trials, which tpe draws anywhere", ge=0)
    pruner: Literal["none", "hyperband"] = setting(
        "none", "Train every trial to its end, or stop those early that fall behind others"
    )
    min_epochs: int = setting(1, "Epochs, over all splits, before the first is stopped", ge=1)
    reduction_factor: int = setting(3, "Of how many trials one goes on when some are stopped", ge=2)
    metric: str = setting("loss", "Selection metric of validation that judges a trial", short="m")
    round_size: int = setting(
        5, "Trials that know of no other of their round; a worker each is the most of use", ge=1
    )
    seed: int = setting(0, "Seed of what is drawn, not of the trainings", ge=0, lt=2**32)
    threads: int | None = setting(
        None, "Threads of a trial (default: all, divided among the workers of the beginning)", ge=1
    )
    trials: tuple[int, ...] = setting(
        (), "Trials that are made here, without the others (default: all)", flag="trial"
    )
    outer_folds: int = setting(
        0, "Folds of participants that judge the winners of as many searches (0: one search)", ge=0
    )
    participants_tsv: Path | None = setting(
        None, "Table that the outer folds divide, of the sessions", flag="subjects_sessions_tsv",
        short="tsv",
    )  # fmt: skip
    architecture: ArchitectureRanges | None = setting(
        None, "From what the blocks of a RandomArchitecture are drawn"
    )
    experiment: dict[str, Any] = setting(
        {}, "Settings of the experiment; ranges, lists and distributions where values are searched"
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> SearchConfig:
        if self.outer_folds == 1:
            raise ValueError("one outer fold leaves nobody to learn from: the least is 2")
        if bool(self.outer_folds) != (self.participants_tsv is not None):
            raise ValueError("outer_folds and subjects_sessions_tsv need each other")
        if self.trials and self.outer_folds:
            raise ValueError("trials of outer folds know of each other: leave trial out")
        unknown = [number for number in self.trials if not 0 <= number < self.n_trials]
        if unknown:
            raise ValueError(
                f"trial {unknown[0]} does not exist: there are trials 0 to {self.n_trials - 1}"
            )
        follows = next((one for one in self.trials if not self.is_first(one)), None)
        if follows is not None:
            raise ValueError(
                f"trial {follows} follows from those of earlier rounds, so it is not made alone: "
                "train its MAPS again with train from-maps"
            )
        return self

    def is_first(self, number: int) -> bool:
        """Return whether a trial follows from the seed alone, and from no other trial."""
        is_drawn_anywhere = self.sampler == "random" or number < self.n_startup
        return number < self.round_size or (is_drawn_anywhere and self.pruner == "none")

    def rounds(self) -> list[range]:
        """Return the trials that know of no other among them, round by round."""
        learns = self.sampler == "tpe" or self.pruner != "none"
        size = self.round_size if learns else self.n_trials
        return [
            range(first, min(first + size, self.n_trials))
            for first in range(0, self.n_trials, size)
        ]


def of_file(file: Path, given: Mapping[str, Any]) -> SearchConfig:
    """Return the search that flags and a file describe, in this order.

    Parameters
    ----------
    file
        A configuration file of an experiment with a section ``search``.
    given
        Settings of that section; only what was said.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is not TOML or JSON, or a setting of the section is wrong.
    UsageError
        A flag is wrong.
    """
    experiment = content_of(file)
    written = experiment.pop("search", {})
    whole = {**written, "experiment": experiment} if isinstance(written, Mapping) else written
    judged(SearchConfig, whole, file)
    return settings(SearchConfig, {**whole, **given})
