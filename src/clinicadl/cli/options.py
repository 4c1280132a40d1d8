"""From settings to command-line options: names, types, bounds, defaults and help."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic_core import PydanticUndefined

from clinicadl.config.base import Place, Section, places

F = TypeVar("F", bound=Callable[..., Any])

SEPARATOR = "__"
"""Between the sections of a setting in the name of a parameter: ``optimization__epochs``."""

_LINE = 80
"""Characters."""


class ListOption(click.Option):
    """An option that takes several values after one flag, or the flag again for each."""


class Command(click.Command):
    """A command whose list options take ``--diagnoses AD CN`` as well as the repeated form."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the flag of a list repeated before each of its values."""
        return super().parse_args(ctx, _flags_repeated(self.get_params(ctx), list(args)))


class _Unit(NamedTuple):
    """A flag with the words that follow it, or (without a flag) one positional argument."""

    flag: str | None
    words: list[str]
    is_list: bool = False


def _flags_repeated(params: list[click.Parameter], args: list[str]) -> list[str]:
    """Return the arguments with ``--x a b`` written ``--x a --x b``.

    Words behind a list may be positional arguments: when as many of these are missing as a list can
    spare, the last such list gives them up.
    """
    units = _units(params, args)
    needed = sum(isinstance(param, click.Argument) and param.required for param in params)
    missing = max(0, needed - sum(unit.flag is None for unit in units))
    generous = [i for i, unit in enumerate(units) if unit.is_list and len(unit.words) > missing]
    result: list[str] = []
    for i, unit in enumerate(units):
        if not unit.is_list or unit.flag is None:
            result += [*([unit.flag] if unit.flag else []), *unit.words]
            continue
        spared = missing if generous and i == generous[-1] else 0
        values = unit.words[: len(unit.words) - spared]
        result += [word for value in values for word in (unit.flag, value)] or [unit.flag]
        result += unit.words[len(values) :]
    return result


def _units(params: list[click.Parameter], args: list[str]) -> list[_Unit]:
    options = {
        flag.replace("_", "-"): param
        for param in params
        if isinstance(param, click.Option)
        for flag in (*param.opts, *param.secondary_opts)
    }
    units: list[_Unit] = []
    position = 0
    while position < len(args):
        word = args[position]
        position += 1
        if not _is_flag(word):
            units.append(_Unit(None, [word]))
            continue
        option = options.get(word.replace("_", "-"))
        most = len(args) if isinstance(option, ListOption) else 0
        if option is not None and not most and not option.is_flag and not option.count:
            most = 1
        start = position
        while position < min(start + most, len(args)) and not _is_flag(args[position]):
            position += 1
        units.append(_Unit(word, args[start:position], isinstance(option, ListOption)))
    return units


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit() and word[1] != "."


class Names(click.Choice[str]):
    """One of some names, to the letter: `-` and `_` mean the same in flags, not in values."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the names as ``--help`` shows them; many stand in the text, where lines break."""
        return "NAME" if self.are_many else super().get_metavar(param, ctx)

    @property
    def are_many(self) -> bool:
        """Whether the names do not fit into one line."""
        return sum(map(len, self.choices)) > _LINE

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        """Return the name as it is."""
        return str(choice)


def options_of(
    model: type[Section],
    *,
    arguments: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    rows: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Return a decorator that adds an option for each setting, and positional arguments for some.

    Parameters
    ----------
    model
        The configuration.
    arguments
        Names of the settings that are positional, in their order.
    without
        Names of the settings that the command decides itself.
    rows
        Setting -> the only row of its table that has options here (default: every row has).
    defaults
        Setting -> its default here, where it is not that of the field.
    """
    by_name: dict[str, list[Place]] = {}
    for place in places(model, rows=rows):
        by_name.setdefault(parameter(place), []).append(place)

    def decorate(function: F) -> F:
        ordered = [name for name in by_name if _field(name) not in (*arguments, *without)]
        for name in reversed(ordered):
            params = _option(name, by_name[name], (defaults or {}).get(_field(name)))
            if params is not None:
                _add(function, params)
        for argument in reversed(arguments):
            name = next(name for name in by_name if _field(name) == argument)
            _add(function, _argument(name, by_name[name][0]))
        return function

    return decorate


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said on the command line, nested as the sections are, and nothing else."""
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None or value == ():
            continue
        *sections, field = name.split(SEPARATOR)
        level = nested
        for section in sections:
            level = level.setdefault(section, {})
        level[field] = value
    return nested


def parameter(place: Place) -> str:
    """Return the name under which a command gets the value of a setting."""
    return SEPARATOR.join(place.path)


def _field(name: str) -> str:
    parts = name.split(SEPARATOR)
    return parts[-2] if parts[-1] == "name" and len(parts) > 1 else parts[-1]


def _add(function: Any, param: click.Parameter) -> None:
    if not hasattr(function, "__click_params__"):
        function.__click_params__ = []
    function.__click_params__.append(param)


def _argument(name: str, place: Place) -> click.Argument:
    return click.Argument([name], type=_type(place)[0], metavar=place.flag.upper())


def _option(name: str, owners: Sequence[Place], default: str | None) -> click.Option | None:
    """Return the option of a setting, which several rows of a table may have."""
    place = owners[0]
    kind, is_list = _type(place)
    if kind is None or (place.path[-1] == "name" and place.table is None):
        return None
    flag = _dashed(place.flag)
    names = [name, *([f"-{place.said('short')}"] if place.said("short") else [])]
    # A setting with a flag of its own answers to its own name too: both are published names.
    own = _dashed(place.path[-1]) if place.table is None else flag
    if place.field.annotation in (bool, bool | None):
        off = _dashed(place.said("off") or f"no-{place.flag}")
        # The pair comes last: click takes what a flag turns off from its last form.
        forms = [*([own] if own != flag else []), f"{flag}/{off}"]
        return click.Option([*names, *forms], default=None, help=_help(owners, None))
    option = ListOption if is_list else click.Option
    return option(
        [*names, *dict.fromkeys((flag, own))],
        type=kind,
        multiple=is_list,
        default=None,
        help=_help(owners, default),
    )


def _dashed(flag: str) -> str:
    return "--" + flag.replace("_", "-")


def _help(owners: Sequence[Place], own_default: str | None) -> str:
    place = owners[0]
    text = place.field.description or ""
    kind, _ = _type(place)
    if isinstance(kind, Names) and kind.are_many:
        text += f": {', '.join(kind.choices)}"
    if place.said("unit"):
        text += f" [{place.said('unit')}]"
    if own_default:
        return f"{text} (default: {own_default})"
    shown = default_text(place)
    others = [f"{one.row} {default_text(one)}" for one in owners if default_text(one) != shown]
    default = "; ".join([shown, *([", ".join(others)] if others else [])])
    return f"{text} (default: {default})" if shown else text


def default_text(place: Place) -> str:
    """Return the default of a setting as a person would type it; nothing where there is none."""
    default = place.field.get_default()
    if default in (None, (), PydanticUndefined):
        return ""
    if place.table:
        return str(default.name)
    if isinstance(default, bool):
        return _dashed(place.flag if default else place.said("off") or f"no-{place.flag}")[2:]
    if isinstance(default, tuple):
        return " ".join(str(value) for value in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _type(place: Place) -> tuple[click.ParamType[Any] | None, bool]:
    """Return click's type of a setting (none: in files only), and whether it is a list."""
    if place.table:
        return Names(list(place.table.all_rows())), False
    annotation: Any = place.field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    if get_origin(annotation) is tuple:
        inner = get_args(annotation)[0]
        return _scalar(inner, place), True
    if get_origin(annotation) is dict:
        return None, False
    return _scalar(annotation, place), False


def _scalar(annotation: Any, place: Place) -> Any:
    if get_origin(annotation) is Literal:
        return Names([str(value) for value in get_args(annotation)])
    if annotation is Path:
        return click.Path(path_type=Path)
    if annotation in (int, float):
        return _range(annotation, place)
    return click.STRING


def _range(annotation: type, place: Place) -> click.ParamType[Any]:
    bounds: dict[str, Any] = {}
    for bound in place.field.metadata:
        if isinstance(bound, Ge | Gt):
            bounds["min"] = bound.ge if isinstance(bound, Ge) else bound.gt
            bounds["min_open"] = isinstance(bound, Gt)
        elif isinstance(bound, Le | Lt):
            bounds["max"] = bound.le if isinstance(bound, Le) else bound.lt
            bounds["max_open"] = isinstance(bound, Lt)
    if not bounds:
        return click.INT if annotation is int else click.FLOAT
    if annotation is int and bounds.get("max_open"):
        bounds["max"], bounds["max_open"] = bounds["max"] - 1, False
    return click.IntRange(**bounds) if annotation is int else click.FloatRange(**bounds)
