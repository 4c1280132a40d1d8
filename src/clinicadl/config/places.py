"""Which settings of an experiment name a place on the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from clinicadl.config.base import Place, Section
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.read import with_settings

_EXTRACTIONS = ("preprocessing_json", "channels")
"""Settings that are a place or a name in the CAPS."""

Places = Mapping[str, Mapping[str, Any]]
"""Section -> setting -> place."""


def is_place(setting: Place) -> bool:
    """Return whether a setting names a place."""
    annotation = setting.field.annotation
    return Path in (annotation, *get_args(annotation)) or setting.path[-1] in _EXTRACTIONS


def of(config: ExperimentConfig) -> dict[str, dict[str, Any]]:
    """Return the places that an experiment names, by section and setting."""
    return {
        section: found
        for section, settings in config
        if isinstance(settings, Section)
        and (
            found := {
                name: value
                for name, value in settings
                if isinstance(value, Path) or name in _EXTRACTIONS
            }
        )
    }


def paths(config: ExperimentConfig) -> list[str]:
    """Return the settings that name a place wherever it lies, not one in the CAPS by its name."""
    return [
        name
        for found in of(config).values()
        for name, value in found.items()
        if any(Path(one).is_absolute() for one in (value if isinstance(value, tuple) else [value]))
    ]


def replaced(
    config: ExperimentConfig, where: Callable[[str, Path | str], Path | str]
) -> ExperimentConfig:
    """Return the experiment with other places.

    Parameters
    ----------
    config
        The experiment.
    where
        Setting, place -> the place to be, of the same type.
    """
    update = {}
    for section, found in of(config).items():
        new = {
            name: tuple(where(name, one) for one in value)
            if isinstance(value, tuple)
            else where(name, value)
            for name, value in found.items()
        }
        update[section] = getattr(config, section).model_copy(update=new)
    return config.model_copy(update=update)


def absolute(config: ExperimentConfig) -> ExperimentConfig:
    """Return the experiment with whole paths, so that it can be resumed from any folder."""
    return replaced(config, lambda _, place: whole(place))


def moved(config: ExperimentConfig, given: Places) -> ExperimentConfig:
    """Return the experiment with the places that are given.

    What lay in the CAPS lies in the new one, if it is there and nobody says otherwise.

    Raises
    ------
    UsageError
        The experiment has no such setting.
    """
    named = {name for settings in given.values() for name in settings}
    new = with_settings(config, given)
    before, now = config.data.caps_directory, new.data.caps_directory.absolute()

    def along(name: str, place: Path | str) -> Path | str:
        if name in named:
            return whole(place)
        if not Path(place).is_relative_to(before):
            return place
        there = now / Path(place).relative_to(before)
        return type(place)(there) if there.exists() else place

    return replaced(new, along)


def whole(place: Path | str) -> Path | str:
    """Return the whole path of a place; what is only a name in the CAPS stays one."""
    if isinstance(place, Path):
        return place.absolute()
    # An extraction JSON, or the name of one in the CAPS.
    return str(Path(place).absolute()) if Path(place).is_file() else place
