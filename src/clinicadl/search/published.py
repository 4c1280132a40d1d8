"""A random search as releases 1.x describe it: one call draws one network and trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from clinicadl import draws
from clinicadl.config import published
from clinicadl.config.drawn_architectures import ArchitectureRanges
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.names import nearest
from clinicadl.config.random_search import RandomSearchConfig
from clinicadl.config.read import described, settings
from clinicadl.engine import train
from clinicadl.engine.events import Observer
from clinicadl.engine.plan import Plan, plan
from clinicadl.errors import ClinicaDLError, InvalidDataError, listed
from clinicadl.layouts import files, launch
from clinicadl.layouts.launch import SECTION
from clinicadl.layouts.maps.folder import Maps, check_group_name
from clinicadl.search.architecture import Drawn, drawn

_FIXED = ("network_task", "tsv_path", "caps_directory", "preprocessing_json")
"""Keys that must be there, and are not drawn."""
_NORMALIZATION, _DECAYS = "network_normalization", "wd_bool"
_OF_IMAGES = ("mode", "preprocessing_dict")
"""Keys that follow from the extraction JSON, and may say no other than it does."""
EXPONENTS = ("learning_rate", "weight_decay")
"""Keys whose numbers are exponents: x means 10 to the power of -x."""
_RANGES = ("dropout", *EXPONENTS)
_INTEGER_RANGES = ("accumulation_steps",)
_LISTS = ("diagnoses", "selection_metrics", "split", "data_augmentation")
"""Keys whose value is a list."""
_TASKS = ("classification", "regression")
_LEAST_EXPONENT = 0.1
"""Below it an exponent is more likely to be a rate."""
_MEANING = (
    "The number x means 10 to the power of -x here, so that 4 means 1e-4; no weight decay is "
    f"{_DECAYS} = false"
)
_SMALLEST = {"convolutions_dict": {"conv0": {"out_channels": 1}}, "n_fcblocks": 1}
"""A network that fits wherever one fits: to see the images before layers are drawn for them."""

_Experiment = Callable[[Mapping[str, Any], Mapping[str, Any]], ExperimentConfig]
"""Values of the keys of the training, and layers -> the experiment."""


class _Key(NamedTuple):
    """A key of the training, as it was written."""

    name: str
    section: str
    written: Any
    spelt: str
    """Section and key, for messages."""


@dataclass(frozen=True)
class Description:
    """What is searched."""

    path: Path
    fixed: Mapping[str, str]
    ranges: ArchitectureRanges
    normalization: _Key | None
    decays: _Key | None
    """Whether there is a weight decay."""
    keys: tuple[_Key, ...]
    """Of the training."""
    of_images: Mapping[str, Any]


class Draw(NamedTuple):
    """A network that was drawn, and how it is trained."""

    experiment: ExperimentConfig
    record: dict[str, Any]
    """What was drawn, and by what."""


class Planned(NamedTuple):
    """A network that was drawn, and can be trained."""

    maps: Path
    plan: Plan
    record: dict[str, Any]


def random_search(
    config: RandomSearchConfig, *, jobs: JobsConfig = HERE, observers: Sequence[Observer] = ()
) -> Maps:
    """Draw a network and settings of its training as ``random_search.toml`` says, and train it.

    Parameters
    ----------
    config
        The folder of the search, the name of the new MAPS, and the seed.
    jobs
        Whether each split is a job of its own; as in `clinicadl.train`.
    observers
        Told of everything that happens in this process.

    Returns
    -------
    The new MAPS.

    Raises
    ------
    MissingInputError
        There is no ``random_search.toml``, or what it names is not there.
    InvalidDataError
        A key or value of it is wrong, at whatever end of a range.
    OutputError
        There is a MAPS of this name.
    LeakageError
        A split leaks.
    """
    planned = ready(config, jobs=jobs)
    record(config, planned)
    return train.carry_out(planned.plan, planned.maps, jobs=jobs, observers=observers)


def ready(config: RandomSearchConfig, *, jobs: JobsConfig = HERE) -> Planned:
    """Return what was drawn and the plan of its training; nothing is written."""
    check_group_name(config.name, what="a MAPS")
    found = read(config.launch_directory)
    maps = launch.maps(config.launch_directory, config.name)
    files.refuse_existing(maps)
    probe = plan(
        _experiment_of(found, _normalization(found, config))(_values(found, config), _SMALLEST)
    )
    _check_images(found, probe)
    made = draw(found, config, probe.input_shape[1:])
    published.warn_of_idle(_translated(found, _values(found, config)))
    return Planned(maps, train.ready(made.experiment, maps, jobs=jobs), made.record)


def draw(found: Description, config: RandomSearchConfig, sizes: Sequence[int]) -> Draw:
    """Return what is drawn under a name.

    Parameters
    ----------
    found
        What is searched.
    config
        The name and the seed.
    sizes
        Of what the network gets, along each axis of space.

    Raises
    ------
    UsageError
        Even the fewest blocks leave one element of so small an image.
    """
    chooser = Drawn(draws.generator(config.search_seed, _purpose(config, "architecture")))
    layers = drawn(found.ranges, chooser, sizes).settings()
    values, normalization = _values(found, config), _normalization(found, config)
    of_search = {
        "search_seed": config.search_seed,
        "name": config.name,
        "description_sha256": files.sha256(found.path),
        "channels_limit": found.ranges.channels_limit,
        _DECAYS: _decays(found, config),
        _NORMALIZATION: normalization,
    }
    experiment = _experiment_of(found, normalization)(values, layers)
    return Draw(experiment, {**of_search, **layers, **values})


def record(config: RandomSearchConfig, planned: Planned) -> None:
    """Write what was drawn beside the MAPS that is to be."""
    launch.write_drawn(config.launch_directory, config.name, planned.record)


def read(folder: Path) -> Description:
    """Return what is searched in a folder; every end of every range can be used.

    Raises
    ------
    MissingInputError
        The file is not there.
    InvalidDataError
        A key is unknown or absent, or a value is wrong.
    """
    content, path = launch.read_description(folder), launch.description(folder)
    own = dict(content.pop(SECTION))
    place = f"{path}, {SECTION}"
    absent = [name for name in _FIXED if not isinstance(own.get(name), str)]
    if absent:
        raise InvalidDataError(
            "The random search lacks keys that are text", where=place, found=listed(absent),
            fix="Write them down",
        )  # fmt: skip
    fixed = {name: str(own.pop(name)) for name in _FIXED}
    if fixed["network_task"] not in _TASKS:
        raise InvalidDataError(
            "A random search does not know this task", where=f"{place}.network_task",
            found=fixed["network_task"], fix=f"Known are {listed(_TASKS)}",
        )  # fmt: skip
    try:
        ranges = settings(
            ArchitectureRanges,
            {name: own.pop(name) for name in ArchitectureRanges.model_fields if name in own},
        )
    except ClinicaDLError as error:
        raise InvalidDataError(
            error.what, where=f"{place}, {error.where}", found=error.found, fix=error.fix
        ) from error
    of_images = {name: own.pop(name) for name in _OF_IMAGES if name in own}
    special = {name: own.pop(name) for name in (_NORMALIZATION, _DECAYS) if name in own}
    normalization, decays = (
        _Key(name, SECTION, special[name], f"{SECTION}.{name}") if name in special else None
        for name in (_NORMALIZATION, _DECAYS)
    )
    keys = _of_training(content, own, fixed["network_task"], path)
    found = Description(path, fixed, ranges, normalization, decays, keys, of_images)
    _check_ends(found)
    return found


def _of_training(
    content: Mapping[str, Any], own: Mapping[str, Any], task: str, path: Path
) -> tuple[_Key, ...]:
    """Return the keys of the training, which stand in the sections of 1.6.1 or in the search's.

    Raises
    ------
    InvalidDataError
        A key is unknown, stands in both, or says that another network is trained.
    """
    homes = {
        key: section
        for section in reversed(published.SETTINGS)
        if published.TASK_SECTIONS.get(section, task) == task
        for key in published.keys_of(section)
    }
    elsewhere = {
        key: _Key(key, section, value, f"{section}.{key}")
        for section, values in content.items()
        if published.TASK_SECTIONS.get(section, task) == task
        for key, value in values.items()
    }
    for key in own:
        if key not in homes:
            near = nearest(key, [*homes, *ArchitectureRanges.model_fields, *_FIXED])
            raise InvalidDataError(
                f"The key {key} is not known", where=f"{path}, {SECTION}",
                fix=f"The nearest known one is {listed(near)}",
            )  # fmt: skip
        if key in elsewhere and elsewhere[key].written != own[key]:
            raise InvalidDataError(
                f"The key {key} stands twice, with different values", where=path,
                found=f"{SECTION}.{key} and {elsewhere[key].spelt}", fix="Keep one of them",
            )  # fmt: skip
    mine = {key: _Key(key, homes[key], value, f"{SECTION}.{key}") for key, value in own.items()}
    keys = {**elsewhere, **mine}
    for old in ("model", "architecture"):
        named = keys.pop(old, None)
        if named is not None and named.written not in ("default", "RandomArchitecture"):
            raise InvalidDataError(
                "A random search trains networks that it draws", where=f"{path}, {named.spelt}",
                found=named.written, fix="Leave the key out",
            )  # fmt: skip
    return tuple(keys.values())


def _check_ends(found: Description) -> None:
    """Refuse what could be drawn and not be trained with, whether or not it is drawn.

    Raises
    ------
    InvalidDataError
        There is such a value.
    """
    for wrong in (one for one in _ends_of(found.decays, True, found) if not isinstance(one, bool)):
        _refuse(found, f"{SECTION}.{_DECAYS}", wrong, "It is true or false")
    first = {key.name: next(_ends(key, found)) for key in found.keys}
    for name in _ends_of(found.normalization, "BatchNorm", found):
        experiment = _experiment_of(found, name)
        experiment(first, _SMALLEST)
    for key in found.keys:
        for value in _ends(key, found):
            experiment({**first, key.name: value}, _SMALLEST)


def _experiment_of(found: Description, normalization: Any) -> _Experiment:
    """Return how values and layers become an experiment, with one normalisation."""

    def experiment(values: Mapping[str, Any], layers: Mapping[str, Any]) -> ExperimentConfig:
        given = {
            "data": {
                "caps_directory": found.fixed["caps_directory"],
                "tsv_directory": found.fixed["tsv_path"],
                "preprocessing_json": found.fixed["preprocessing_json"],
            },
            "network": {**layers, _NORMALIZATION: normalization},
        }
        return described(_translated(found, values), given, where=found.path)

    return experiment


def _translated(found: Description, values: Mapping[str, Any]) -> published.Translated:
    content: dict[str, dict[str, Any]] = {"Model": {"architecture": "RandomArchitecture"}}
    for key in found.keys:
        content.setdefault(key.section, {})[key.name] = values[key.name]
    if "weight_decay" in values:
        content.setdefault("Optimization", {})["weight_decay"] = values["weight_decay"]
    said = published.translated(content, task=found.fixed["network_task"], where=found.path)
    own = {f"{key.section}.{key.name}": key.spelt for key in found.keys}
    return said._replace(spelt={path: own.get(name, name) for path, name in said.spelt.items()})


def _check_images(found: Description, planned: Plan) -> None:
    """Refuse what is said of the images where they are prepared otherwise.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    extraction = planned.extractions[0].content
    of_images = dict(found.of_images)
    said = {**of_images.pop("preprocessing_dict", {}), **of_images}
    for key, value in said.items():
        if extraction.get(key) != value:
            raise InvalidDataError(
                "The images are prepared in another way", where=f"{found.path}, {SECTION}.{key}",
                found=f"{value}, and {extraction.get(key)} in the extraction JSON",
                fix="Leave the key out, or name another preprocessing_json",
            )  # fmt: skip


def _ends_of(key: _Key | None, default: Any, found: Description) -> Iterator[Any]:
    yield from (default,) if key is None else _ends(key, found)


def _ends(key: _Key, found: Description) -> Iterator[Any]:
    """Yield the values that a key can have: both ends of a range, or each of a list."""
    value = key.written
    if key.name not in (*_RANGES, *_INTEGER_RANGES):
        is_drawn = isinstance(value, list) and key.name not in _LISTS
        if is_drawn and not value:
            _refuse(found, key.spelt, value, "There is nothing to choose from")
        yield from value if is_drawn else (value,)
        return
    ends = value if isinstance(value, list) else [value]
    kinds = (int,) if key.name in _INTEGER_RANGES else (int, float)
    are_numbers = all(isinstance(end, kinds) and not isinstance(end, bool) for end in ends)
    if not are_numbers or len(ends) not in (1, 2) or ends[0] > ends[-1]:
        what = "whole number" if key.name in _INTEGER_RANGES else "number"
        _refuse(found, key.spelt, value, f"Give one {what}, or the least and the greatest")
    if key.name in EXPONENTS:
        for end in ends:
            if 0 < end < _LEAST_EXPONENT or (end == 0 and key.name == "weight_decay"):
                _refuse(found, key.spelt, end, _MEANING)
        yield from (10.0**-end for end in ends)
        return
    yield from ends


def _refuse(found: Description, spelt: str, value: Any, fix: str) -> NoReturn:
    """Say that nothing can be drawn.

    Raises
    ------
    InvalidDataError
        Always.
    """
    raise InvalidDataError(
        "A key of the random search cannot be used", where=f"{found.path}, {spelt}", found=value,
        fix=fix,
    )  # fmt: skip


def _stream(config: RandomSearchConfig, key: str) -> np.random.Generator:
    return draws.generator(config.search_seed, _purpose(config, key))


def _purpose(config: RandomSearchConfig, key: str) -> str:
    """Return what a draw is for: of each name and key another, so that no key shifts another."""
    return f"random search/{config.name}/{key}"


def _normalization(found: Description, config: RandomSearchConfig) -> Any:
    return _chosen(found.normalization, "BatchNorm", config)


def _decays(found: Description, config: RandomSearchConfig) -> Any:
    return _chosen(found.decays, True, config)


def _chosen(key: _Key | None, default: Any, config: RandomSearchConfig) -> Any:
    return default if key is None else _value(key, _stream(config, key.name))


def _values(found: Description, config: RandomSearchConfig) -> dict[str, Any]:
    """Return what the keys of the training are in one draw."""
    values = {key.name: _value(key, _stream(config, key.name)) for key in found.keys}
    return values if _decays(found, config) else {**values, "weight_decay": 0.0}


def _value(key: _Key, stream: np.random.Generator) -> Any:
    """Return what a key is in one draw."""
    value = key.written
    if key.name in _RANGES:
        low, high = (value[0], value[-1]) if isinstance(value, list) else (value, value)
        number = float(stream.uniform(low, high))
        return 10.0**-number if key.name in EXPONENTS else number
    if not isinstance(value, list) or key.name in _LISTS:
        return value
    if key.name in _INTEGER_RANGES:
        return int(stream.integers(value[0], value[-1], endpoint=True))
    return value[int(stream.integers(len(value)))]
