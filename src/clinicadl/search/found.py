"""What a search has found so far, of this release or as releases 1.x search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.network import RandomArchitecture
from clinicadl.config.read import values
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import launch
from clinicadl.layouts import search as layout
from clinicadl.layouts.maps import folder, names, pruned
from clinicadl.layouts.maps import record as records
from clinicadl.layouts.search import State, Trial, curves


class Found(NamedTuple):
    """A search, and its trials."""

    folder: Path
    metric: str
    """Selection metric of validation that judges a trial."""
    is_higher_better: bool
    trials: tuple[Trial, ...]
    facts: tuple[tuple[str, str], ...]
    """What decided which trials there are."""

    @property
    def complete(self) -> tuple[Trial, ...]:
        """Those that were trained to their end, and have a value."""
        return tuple(
            one for one in self.trials if one.state == "complete" and one.value is not None
        )

    @property
    def best(self) -> Trial | None:
        """The best of them, the first of those that are equally good."""
        sign = -1.0 if self.is_higher_better else 1.0
        return min(self.complete, key=lambda one: sign * (one.value or 0.0), default=None)


def is_searched(path: Path) -> bool:
    """Return whether a folder is that of a search, of this release or of a random one."""
    return layout.is_search(path) or launch.is_launch(path)


def search_of(maps: Path) -> Path | None:
    """Return the folder of the search that a MAPS is a trial of; None where it is of none."""
    home = maps.absolute().parent
    if launch.is_launch(home):
        return home
    is_trial = home == layout.trials(home.parent) and layout.is_search(home.parent)
    return home.parent if is_trial else None


def read(path: Path) -> Found:
    """Return what a search has found so far.

    Parameters
    ----------
    path
        Of ``clinicadl search``, or with the MAPS of ``clinicadl random-search``.

    Raises
    ------
    MissingInputError
        It is no such folder, or has no trial.
    InvalidDataError
        A file of it is damaged, or the MAPS of a random search have learnt different things.
    """
    found = _of_launch(path) if launch.is_launch(path) else _of_search(path)
    if not found.trials:
        raise MissingInputError(
            "The search has no trial yet", where=path, fix="Wait for the first one"
        )
    return found


def _of_search(path: Path) -> Found:
    what = layout.read_definition(path)
    config = what.config
    facts = (
        ("trials asked for", f"{config.n_trials}"),
        ("sampler", config.sampler),
        ("pruner", config.pruner),
        ("seed", f"{config.seed}"),
    )
    trials = tuple(layout.read_trials(path))
    return Found(path, config.metric, what.higher_is_better, trials, facts)


def _of_launch(path: Path) -> Found:
    """Return the MAPS of a random search as trials, in the order of their names.

    Raises
    ------
    InvalidDataError
        They have learnt different things.
    """
    opened = [(one, records.read(one)) for one in launch.all_maps(path)]
    if not opened:
        return Found(path, "loss", False, (), ())
    first = opened[0][1]
    metric = first.config.task.selection_metrics[0]
    for maps, record in opened:
        if (record.config.task.kind, record.label_code) != (
            first.config.task.kind,
            first.label_code,
        ):
            raise InvalidDataError(
                "The MAPS of the random search have learnt different things", where=maps,
                found=record.config.task.kind, fix=f"Compare it with {opened[0][0]}",
            )  # fmt: skip
    higher = first.config.task.build(first.label_code).higher_is_better()[metric]
    described = _varying([_settings(record.config) for _, record in opened])
    trials = tuple(
        _trial(number, maps, record.config, settings, metric, higher)
        for number, ((maps, record), settings) in enumerate(zip(opened, described, strict=True))
    )
    return Found(path, metric, higher, trials, (("sampler", "random"),))


def _trial(
    number: int, maps: Path, config: ExperimentConfig, settings: Mapping[str, Any], metric: str,
    higher: bool,
) -> Trial:  # fmt: skip
    asked = {*config.validation.chosen()}
    ended = {
        split for split in names.split_numbers(maps)
        if metric in names.selection_metrics(maps, split) and not folder.is_unfinished(maps, split)
    }  # fmt: skip
    why = pruned.reason(maps)
    state: State = "complete" if asked <= ended else "failed"
    if why is not None:
        state = "pruned"
    elif any(folder.is_running(maps, split) for split in names.split_numbers(maps)):
        state = "running"
    found = Trial(number, state, None, {}, 0, settings, why or "", maps)
    logs = curves(found)
    column = f"{metric}_valid"
    if column not in logs:
        return found._replace(reason=found.reason or "interrupted")
    of_splits = logs.groupby("split")[column].agg("max" if higher else "min")
    by_split = {int(str(split)): float(value) for split, value in of_splits.items()}
    value = sum(by_split.values()) / len(by_split) if state == "complete" else None
    reason = "interrupted" if state == "failed" else found.reason
    return found._replace(value=value, by_split=by_split, epochs=len(logs), reason=reason)


def _settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return the settings of a trial that are numbers, names or switches, by their dotted names."""
    found = {
        ".".join(place.path): value
        for place, value in values(config)
        if isinstance(value, str | int | float | bool) and not isinstance(value, Path)
    }
    network = config.network
    if isinstance(network, RandomArchitecture):
        blocks = network.blocks()
        found |= {
            "n_convblocks": len(blocks),
            "first_conv_width": blocks[0].out_channels,
            "d_reduction": blocks[0].d_reduction,
        }
    return found


def _varying(every: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings in which trials differ; of one trial, those of its network."""
    some = [*every]
    known = dict.fromkeys(name for one in some for name in one)
    differ = [name for name in known if len({repr(one.get(name)) for one in some}) > 1]
    shown = differ if len(some) > 1 else [name for name in known if "." not in name]
    return [{name: one[name] for name in shown if name in one} for one in some]
