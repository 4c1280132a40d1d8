"""The command that the settings of an experiment stand for."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from clinicadl.config.base import Choice
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.read import option_words, values

ARGUMENTS = ("caps_directory", "preprocessing_json", "tsv_directory")
_GROUP = "train"


class Typed(NamedTuple):
    """A command, as a person would type it."""

    words: tuple[str, ...]
    needs_file: bool
    """Whether some settings have no option, so that all of them come from the file."""

    @property
    def line(self) -> str:
        """The command in one line, quoted for a shell."""
        return shlex.join(["clinicadl", *self.words])


def train_command(config: ExperimentConfig, maps: str, *, file: str) -> Typed:
    """Return the command that trains this experiment.

    Parameters
    ----------
    config
        The experiment.
    maps
        The MAPS to be.
    file
        Where the settings lie if a file is needed.
    """
    data = config.data
    # A path that begins with a dash would be taken for an option; the same path with ./ is not.
    paths = [str(one) for one in (data.caps_directory, data.tsv_directory, maps)]
    caps, tables, output = [f"./{one}" if one.startswith("-") else one for one in paths]
    extraction = data.preprocessing_json
    options: list[str] = []
    needs_file = extraction.startswith("-")
    for place, found in values(config):
        field = place.path[-2] if place.table else place.path[-1]
        value, default = _short(found), place.field.get_default()
        if place.table:
            default = config.task.default_network if field == "network" else default.name
        if field in (*ARGUMENTS, "task") or value == default:
            continue
        needs_file = needs_file or not _can_be_typed(value)
        options += [] if needs_file else option_words(place, value)
    before = ["--"] if extraction.startswith("-") else []
    if needs_file:
        options = ["--config_file", file]
    arguments = [*before, caps, extraction, tables, output]
    ordered = [*options, *arguments] if before else [*arguments, *options]
    return Typed((_GROUP, config.task.name, *ordered), needs_file)


def _short(value: Any) -> Any:
    """Return rows of a list as their names, where these say it all."""
    if isinstance(value, tuple) and value and all(isinstance(one, Choice) for one in value):
        return tuple(one.name if one == type(one)() else one for one in value)
    return value


def _can_be_typed(value: Any) -> bool:
    """Return whether an option can say a value: one word, or a list of at least one."""
    if isinstance(value, tuple):
        return bool(value) and all(_can_be_typed(one) for one in value)
    return isinstance(value, (bool, int, float, str, Path))
