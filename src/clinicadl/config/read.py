"""From TOML files, flags and defaults to a configuration, and back."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from clinicadl.config import published
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

_OF_RECORD = "config"
"""Key of the experiment in the record of a MAPS."""
_NEEDED = {"caps_directory": ".", "preprocessing_json": "-", "tsv_directory": "."}
"""What stands for the settings of data that a file may leave to the command."""


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
        _explain(error, model, UsageError, None, {})


def experiment(given: Mapping[str, Any], *, file: Path | None = None) -> ExperimentConfig:
    """Return the experiment that flags, a file and the defaults describe, in this order.

    Parameters
    ----------
    given
        Nested as the sections are; only what was said.
    file
        A configuration file: TOML or JSON, ours or of release 1.6.1, or the record of a MAPS.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        The file is not TOML or JSON, or one of its keys or values is wrong.
    UsageError
        A flag is wrong.
    """
    if file is None:
        return settings(ExperimentConfig, given)
    said = given.get("task")
    task = said.get("name") if isinstance(said, Mapping) else getattr(said, "name", said)
    written, spelt = _written(content_of(file), file, task)
    # A task that a command means is that of a file which gives its settings and not its name.
    meant = {"name": given["task"]["name"]} if "name" in given.get("task", {}) else {}
    # The file is judged by itself first, so that its mistakes are laid at its door.
    judged(ExperimentConfig, _merged({"data": _NEEDED, "task": meant}, written), file, spelt)
    return settings(ExperimentConfig, _merged(written, given))


def _written(
    content: dict[str, Any], file: Path, task: Any
) -> tuple[Mapping[str, Any], Mapping[tuple[str, ...], str]]:
    """Return the settings that a file gives, and how it spells them where it is of release 1.6.1.

    Raises
    ------
    InvalidDataError
        It is of release 1.6.1, and cannot be translated.
    """
    if published.is_published(content):
        found = published.translated(content, task=task, where=file)
        published.warn_of_idle(found)
        published.refuse_unsupported(found, file)
        return found.settings, found.spelt
    of_record = content.get(_OF_RECORD)
    return (of_record if isinstance(of_record, Mapping) else content), {}


def draft_of(file: Path) -> dict[str, Any]:
    """Return what `draft` says of a file.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is not TOML or JSON, or one of its keys or values is wrong.
    """
    return _draft(content_of(file), file)


def draft(text: str, name: Path) -> dict[str, Any]:
    """Return all settings of an experiment that the text of a file describes.

    Parameters
    ----------
    text
        As `experiment` reads it.
    name
        Of the file, for messages; one that ends in ``.json`` is JSON.

    Returns
    -------
    Nested as the sections are, with the defaults, as values of JSON; without the settings of data
    that have no default and are not said.

    Raises
    ------
    InvalidDataError
        The text is not TOML or JSON, or one of its keys or values is wrong.
    """
    return _draft(_parsed(text, name), name)


def _draft(content: dict[str, Any], name: Path) -> dict[str, Any]:
    written, spelt = _written(content, name, None)
    return _undone(
        judged(ExperimentConfig, _merged({"data": _NEEDED}, written), name, spelt), written
    )


def draft_to_toml(given: Mapping[str, Any]) -> str:
    """Return settings as TOML, in which those of data that have no default may be absent.

    Raises
    ------
    UsageError
        A value is out of its bounds, or a key is unknown.
    """
    import tomli_w

    config = settings(ExperimentConfig, _merged({"data": _NEEDED}, given))
    return tomli_w.dumps(_without_none(_undone(config, given)))


def _undone(config: ExperimentConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an experiment without those that stood in for what nobody gave."""
    dumped = config.model_dump(mode="json")
    said = given.get("data", {})
    kept = {name: one for name, one in dumped["data"].items() if name not in {*_NEEDED} - {*said}}
    return {**dumped, "data": kept}


class Problem(NamedTuple):
    """What is wrong with one setting, or between several."""

    path: tuple[str, ...]
    """Where it stands; of a rule between settings, the section that has them."""
    error: ClinicaDLError


def problems(given: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return all that is wrong with the settings of an experiment, as `settings` would say it."""
    try:
        ExperimentConfig.model_validate(given)
    except ValidationError as error:
        return tuple(
            Problem(
                tuple(str(step) for step in one["loc"]),
                _complaint(one, ExperimentConfig, UsageError, None, {}),
            )
            for one in error.errors(include_url=False)
        )
    return ()


def with_settings(config: S, given: Mapping[str, Any]) -> S:
    """Return a configuration with other values of some settings, nested as its sections are.

    Raises
    ------
    UsageError
        A value is out of its bounds, or a key is unknown.
    """
    return settings(type(config), _merged(config.model_dump(mode="json"), given))


def described(
    found: published.Translated, given: Mapping[str, Any], *, where: Path
) -> ExperimentConfig:
    """Return the experiment that settings of release 1.6.1 and others, which win, describe.

    Parameters
    ----------
    found
        What release 1.6.1 was told.
    given
        Nested as our sections are.
    where
        The file that holds them, for messages.

    Raises
    ------
    InvalidDataError
        A value is wrong, or cannot be honoured.
    """
    published.refuse_unsupported(found, where)
    written = _merged(found.settings, given)
    return judged(ExperimentConfig, written, where, found.spelt)


class Recorded(NamedTuple):
    """The experiment of a record of release 1.6.1."""

    config: ExperimentConfig
    unsupported: dict[str, Any]
    """Key -> value of the settings that we cannot honour."""


def recorded(content: Mapping[str, Any], where: Path) -> Recorded:
    """Return the experiment that a record of release 1.6.1 describes.

    Parameters
    ----------
    content
        Its keys and values.
    where
        The file that holds them, for messages.

    Raises
    ------
    InvalidDataError
        A key or value is wrong, or we have no such task or network.
    """
    found = published.translated(content, task=None, where=where)
    published.warn_of_idle(found)
    return Recorded(judged(ExperimentConfig, found.settings, where, found.spelt), found.unsupported)


def judged(
    model: type[S],
    written: Mapping[str, Any],
    file: Path,
    spelt: Mapping[tuple[str, ...], str] | None = None,
) -> S:
    """Return the configuration that a file describes.

    Parameters
    ----------
    model
        Its type.
    written
        Its keys and values.
    file
        The file, for messages.
    spelt
        Place of a setting -> how the file names it, where that is not our name.

    Raises
    ------
    InvalidDataError
        A key or value is wrong.
    """
    try:
        return model.model_validate(written)
    except ValidationError as error:
        _explain(error, model, InvalidDataError, file, spelt or {})


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
    for place, value in values(config):
        field = place.path[-2] if place.table else place.path[-1]
        default = place.field.get_default()
        if field in arguments:
            positional[field] = str(value)
        elif value != (default.name if place.table else default):
            options += option_words(place, value)
    return [*(positional[name] for name in arguments), *options]


def values(config: Section, prefix: tuple[str, ...] = ()) -> Iterator[tuple[Place, Any]]:
    """Yield each setting with its value, those of sections and of chosen rows included.

    Of a chosen row its name comes first.
    """
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), (*prefix, name)
        if isinstance(value, Choice):
            table = next((item for item in field.metadata if isinstance(item, Table)), None)
            yield Place((*path, "name"), field, table), value.name
            yield from (found for found in values(value, path) if found[0].path != (*path, "name"))
        elif isinstance(value, Section):
            yield from values(value, path)
        else:
            yield Place(path, field, None), value


def option_words(place: Place, value: Any) -> list[str]:
    """Return the words that give a setting a value on the command line."""
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


def content_of(path: Path) -> dict[str, Any]:
    """Return what a configuration file says.

    Raises
    ------
    MissingInputError
        It cannot be read.
    InvalidDataError
        It is neither TOML nor, where it is called so, JSON.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MissingInputError(
            "The configuration file cannot be read", where=path, found=error.strerror
        ) from error
    except ValueError as error:
        raise InvalidDataError(
            "The configuration file is not text", where=path, found=error
        ) from error
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Return what the text of a configuration file says.

    Raises
    ------
    InvalidDataError
        It is neither TOML nor, where the file is called so, JSON.
    """
    is_json = path.suffix.lower() == ".json"
    try:
        content = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        raise InvalidDataError(
            f"The configuration file is not {'JSON' if is_json else 'TOML'}", where=path,
            found=error,
        ) from error  # fmt: skip
    if not isinstance(content, dict):
        raise InvalidDataError("The configuration file is not a JSON object", where=path)
    return content


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


def _without_none(value: Any) -> Any:
    """Return a value of JSON without what is unset in its objects, also in those of lists."""
    if isinstance(value, Mapping):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def _explain(
    error: ValidationError,
    model: type[Section],
    kind: type[ClinicaDLError],
    file: Path | None,
    spelt: Mapping[tuple[str, ...], str],
) -> NoReturn:
    """Raise pydantic's first complaint as ours.

    ``spelt`` says how a file of release 1.6.1 names a setting.
    """
    first = error.errors(include_url=False)[0]
    complaint = _complaint(first, model, kind, file, spelt)
    raise complaint from error


def _complaint(
    first: ErrorDetails,
    model: type[Section],
    kind: type[ClinicaDLError],
    file: Path | None,
    spelt: Mapping[tuple[str, ...], str],
) -> ClinicaDLError:
    """Return a complaint of pydantic in our words, naming the nearest key."""
    path = tuple(str(step) for step in first["loc"])
    own = next((name for place, name in spelt.items() if path[: len(place)] == place), None)
    where = f"{file}, {own or '.'.join(path)}" if file else _flag(model, path)
    if first["type"] == "extra_forbidden":
        keys = {"/".join(place.path): place for place in places(model)}
        owners = _rows_with(path[-1], keys.get("/".join((*path[:-1], "name"))))
        if owners:
            return kind(
                f"The setting {path[-1]} does not belong to the {path[-2]} that was chosen",
                where=where,
                fix=f"It belongs to {listed(owners)}",
            )
        siblings = [
            place.path[len(path) - 1]
            for place in keys.values()
            if place.path[: len(path) - 1] == path[:-1]
        ]
        # Inside of a list nothing is known of the row that was meant, so nothing near it either.
        in_list = any(step.isdecimal() for step in path)
        close = nearest(path[-1], siblings or (() if in_list else keys))
        return kind(
            f"The setting {path[-1]} is not known",
            where=where,
            fix=f"The nearest known one is {', '.join(close)}" if close else None,
        )
    if first["type"] == "missing":
        return kind("A setting is missing", where=where, fix="Give it a value")
    message = first["msg"].removeprefix("Value error, ")
    return kind(
        f"A setting cannot be used, because {message[:1].lower()}{message[1:]}",
        where=where,
        found=_short(first["input"]),
    )


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
    every = [*places(model)]
    for place in every:
        if place.path == path or (place.table and place.path[:-1] == path):
            return f"--{place.flag}"
    if any(place.path[: len(path)] == path for place in every):
        # A rule between the settings of a section is broken, and the rule names them.
        return None
    return ".".join(path)
