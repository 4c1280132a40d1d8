"""Which point of the space a trial is, as a function of its number and of earlier rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from clinicadl.config.search import SearchConfig
from clinicadl.config.transforms import TransformsConfig
from clinicadl.draws import generator, key
from clinicadl.layouts.search import Definition
from clinicadl.search import architecture, space
from clinicadl.search.journal import optuna_module
from clinicadl.search.laws import Law, Numbers, OneOf, Raw
from clinicadl.search.space import Answers, Asked, Item, Point
from clinicadl.transforms.pipeline import output_shape

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

V = TypeVar("V", int, str)

_ARCHITECTURE = "architecture"
DRAWN = "RandomArchitecture"
"""Network whose blocks are drawn."""


@dataclass(frozen=True)
class Anywhere:
    """Draws each setting by a stream of its own: another setting more shifts no draw."""

    seed: int
    number: int
    """Of the trial."""

    def ask(self, name: str, how: Law) -> Raw:
        """Return what is drawn of a setting."""
        return how.draw(generator(self.seed, f"search/{name}", sample=self.number))


class Learned:
    """Draws where earlier trials were good, by Optuna's sampler.

    Parameters
    ----------
    config
        The search.
    number
        Of the trial.
    earlier
        All trials of earlier rounds, in the order of their numbers.
    higher_is_better
        Whether the best trial has the highest value.
    """

    def __init__(
        self,
        config: SearchConfig,
        number: int,
        earlier: Sequence[FrozenTrial],
        *,
        higher_is_better: bool,
    ) -> None:
        optuna = optuna_module()
        seed = key(config.seed, "search", sample=number) % 2**32
        sampler = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed)
        study = study_of(config, earlier, higher_is_better=higher_is_better, sampler=sampler)
        self._trial = study.ask()

    def ask(self, name: str, how: Law) -> Raw:
        """Return what is drawn of a setting."""
        from optuna.distributions import FloatDistribution, IntDistribution

        known = how.optuna()
        found: Raw
        if isinstance(known, FloatDistribution):
            found = self._trial.suggest_float(
                name, known.low, known.high, step=known.step, log=known.log
            )
        elif isinstance(known, IntDistribution):
            found = self._trial.suggest_int(
                name, known.low, known.high, step=known.step, log=known.log
            )
        else:
            found = self._trial.suggest_categorical(name, known.choices)  # type: ignore[attr-defined]  # there are three kinds
        return found


def study_of(
    config: SearchConfig,
    earlier: Sequence[FrozenTrial],
    *,
    higher_is_better: bool,
    sampler: Any = None,
    pruner: Any = None,
) -> Study:
    """Return a study of Optuna, in memory, that knows nothing but some trials.

    When they were made, and by whom, is no part of it.
    """
    optuna = optuna_module()
    study: Study = optuna.create_study(
        study_name=f"search-{config.seed}",
        direction="maximize" if higher_is_better else "minimize",
        sampler=sampler,
        pruner=pruner or optuna.pruners.NopPruner(),
    )
    for one in earlier:
        study.add_trial(
            optuna.trial.create_trial(
                state=one.state,
                values=one.values,
                params=one.params,
                distributions=one.distributions,
                system_attrs=one.system_attrs,
                intermediate_values=one.intermediate_values,
            )
        )
    return study


def asked(
    config: SearchConfig, number: int, earlier: Sequence[FrozenTrial], *, higher_is_better: bool
) -> Asked:
    """Return who decides on a trial; parameters as in `Learned`."""
    if config.sampler == "random" or number < config.n_startup:
        return Anywhere(config.seed, number)
    return Learned(config, number, earlier, higher_is_better=higher_is_better)


@dataclass(frozen=True)
class _Chooser:
    """Lets the blocks of a network be decided on as settings are, and takes note."""

    asked: Asked
    raw: dict[str, Raw]
    laws: dict[str, Law]

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        if low == high:
            return low
        found = self._drawn(name, Numbers(low, high, are_integers=True))
        return int(found or 0)

    def one_of(self, name: str, values: Sequence[V]) -> V:
        """Return one of some values."""
        if len(values) == 1:
            return values[0]
        law = OneOf(tuple(values))
        return values[law.labels.index(self._drawn(name, law))]

    def _drawn(self, name: str, law: Law) -> Raw:
        of_search = f"{_ARCHITECTURE}.{name}"
        self.raw[of_search] = self.asked.ask(of_search, law)
        self.laws[of_search] = law
        return self.raw[of_search]


def drawn(
    items: Sequence[Item], definition: Definition, asked: Asked
) -> tuple[Point, dict[str, Law]]:
    """Return the point that somebody decides on, and the laws of what was drawn.

    Raises
    ------
    UsageError
        The images are too small for the blocks that are to be drawn.
    """
    found = space.point(items, asked)
    laws = {one.name: one.law for one in items if one.law is not None}
    network, ranges = found.experiment.get("network", {}), definition.config.architecture
    if network.get("name") == DRAWN and ranges is not None:
        transforms = TransformsConfig.model_validate(found.experiment.get("transforms", {}))
        stored = definition.sizes[found.experiment["data"]["preprocessing_json"]]
        chooser = _Chooser(asked, found.raw, laws)
        shape = output_shape(transforms, stored)
        network |= architecture.drawn(ranges, chooser, shape[1:]).settings()
        new = {name: raw for name, raw in found.raw.items() if name not in found.values}
        found.values.update(new)
    return found, laws


def again(items: Sequence[Item], definition: Definition, trial: FrozenTrial) -> Point:
    """Return the point of a trial that was drawn."""
    return drawn(items, definition, Answers(trial.params))[0]
