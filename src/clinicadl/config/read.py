"""From TOML files, flags and defaults to a configuration, and back."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from clinicadl.config.base import Choice, Place, Section, Table, places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.names import nearest
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    UsageError,
    listed,
)

S = TypeVar("S", bound=Section)


def settings(model: type[S], given: Mapping[str, Any]) -> S:
    """Return the configuration that the given values and the defaults make.

    Raises
    ------
    UsageError
        A value is out of its bounds, a key is unknown, or a needed one is absent.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        _explain(error, model, UsageError, None)


def experiment(given: Mapping[str, Any], *, toml: Path | None = None) -> ExperimentConfig:
    """Return the experiment that flags, a file and the defaults describe, in this order.

    Parameters
    ----------
    given
        Nested as the sections are; only what was said.
    toml
        A configuration file.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        The file is not TOML, or one of its keys or values is wrong.
    UsageError
        A flag is wrong.
    """
    if toml is None:
        return settings(ExperimentConfig, given)
    written = _toml(toml)
    needed = {"caps_directory": ".", "preprocessing_json": "-", "tsv_directory": "."}
    # A task that a command means is that of a file which gives its settings and not its name.
    meant = {"name": given["task"]["name"]} if "name" in given.get("task", {}) else {}
    try:
        # The file is judged by itself first, so that its mistakes are laid at its door.
        ExperimentConfig.model_validate(_merged({"data": needed, "task": meant}, written))
    except ValidationError as error:
        _explain(error, ExperimentConfig, InvalidDataError, toml)
    return settings(ExperimentConfig, _merged(written, given))


def to_toml(config: Section) -> str:
    """Return a configuration as TOML that `experiment` reads back to the same configuration."""
    import tomli_w

    return tomli_w.dumps(_without_none(config.model_dump(mode="json")))


def command_line(command: str, config: Section, *, arguments: Sequence[str]) -> str:
    """Return the command that these settings stand for, as a person would type it.

    Parameters
    ----------
    command
        Its words, after ``clinicadl``.
    config
        Its settings; those at their defaults are left out.
    arguments
        Names of the settings that are positional.
    """
    return shlex.join(["clinicadl", *command.split(), *words(config, arguments=arguments)])


def words(config: Section, *, arguments: Sequence[str]) -> list[str]:
    """Return the words behind a command that these settings stand for, without the defaults.

    Parameters
    ----------
    config
        The settings.
    arguments
        Names of the settings that are positional; they come first. Of a row of a table, this is its
        name: its own settings are options.

    Examples
    --------
    >>> from clinicadl.config.tables import KFoldConfig
    >>> words(KFoldConfig(data_tsv="train.tsv", n_splits=3), arguments=["data_tsv"])
    ['train.tsv', '--n_splits', '3']
    """
    positional: dict[str, str] = {}
    options: list[str] = []
    for place, value in _values(config):
        field = place.path[-2] if place.table else place.path[-1]
        default = place.field.get_default()
        if field in arguments:
            positional[field] = str(value)
        elif value != (default.name if place.table else default):
            options += _option(place, value)
    return [*(positional[name] for name in arguments), *options]


def _values(config: Section, prefix: tuple[str, ...] = ()) -> Iterator[tuple[Place, Any]]:
    """Yield each setting with its value, those of sections and of chosen rows included."""
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), (*prefix, name)
        if isinstance(value, Choice):
            table = next((item for item in field.metadata if isinstance(item, Table)), None)
            yield Place((*path, "name"), field, table), value.name
            yield from (found for found in _values(value, path) if found[0].path != (*path, "name"))
        elif isinstance(value, Section):
            yield from _values(value, path)
        else:
            yield Place(path, field, None), value


def _option(place: Place, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{place.flag if value else place.said('off') or f'no-{place.flag}'}"]
    texts = [str(one) for one in (value if isinstance(value, tuple) else (value,))]
    if any(text.startswith("-") for text in texts):
        # Such a word by itself would be taken for a flag.
        return [f"--{place.flag}={text}" for text in texts]
    return [f"--{place.flag}", *texts]


def json_schema() -> str:
    """Return the JSON Schema of an experiment."""
    return json.dumps(ExperimentConfig.model_json_schema(), indent=2)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MissingInputError(
            "The configuration file cannot be read", where=path, found=error.strerror
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidDataError(
            "The configuration file is not TOML", where=path, found=error
        ) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            # Another row of a table brings parameters of its own: the old row's do not apply.
            replaced = "name" in value and value["name"] != old.get("name", value["name"])
            merged[key] = dict(value) if replaced else _merged(old, value)
        else:
            merged[key] = value
    return merged


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _explain(
    error: ValidationError, model: type[Section], kind: type[ClinicaDLError], file: Path | None
) -> NoReturn:
    """Turn pydantic's first complaint into ours, naming the nearest key."""
    first = error.errors(include_url=False)[0]
    path = tuple(str(step) for step in first["loc"])
    where = f"{file}, {'.'.join(path)}" if file else _flag(model, path)
    if first["type"] == "extra_forbidden":
        keys = {"/".join(place.path): place for place in places(model)}
        owners = _rows_with(path[-1], keys.get("/".join((*path[:-1], "name"))))
        if owners:
            raise kind(
                f"The setting {path[-1]} does not belong to the {path[-2]} that was chosen",
                where=where,
                fix=f"It belongs to {listed(owners)}",
            ) from error
        siblings = [
            place.path[len(path) - 1]
            for place in keys.values()
            if place.path[: len(path) - 1] == path[:-1]
        ]
        # Inside of a list nothing is known of the row that was meant, so nothing near it either.
        in_list = any(step.isdecimal() for step in path)
        close = nearest(path[-1], siblings or (() if in_list else keys))
        raise kind(
            f"The setting {path[-1]} is not known",
            where=where,
            fix=f"The nearest known one is {', '.join(close)}" if close else None,
        ) from error
    if first["type"] == "missing":
        raise kind("A setting is missing", where=where, fix="Give it a value") from error
    message = first["msg"].removeprefix("Value error, ")
    raise kind(
        f"A setting cannot be used, because {message[:1].lower()}{message[1:]}",
        where=where,
        found=_short(first["input"]),
    ) from error


def _rows_with(setting: str, choice: Place | None) -> list[str]:
    """Return the rows of a table that have a setting."""
    if choice is None or choice.table is None:
        return []
    rows = choice.table.all_rows()
    return [name for name, row in rows.items() if setting in row.model_fields]


def _short(value: object) -> str | None:
    text = str(value)
    return text if len(text) <= 80 else None


def _flag(model: type[Section], path: tuple[str, ...]) -> str | None:
    if not path:
        # A rule between settings is broken, and the rule names them.
        return None
    for place in places(model):
        if place.path == path or place.path[:-1] == path:
            return f"--{place.flag}"
    return ".".join(path)
