"""The settings of an experiment that are searched, and those that are not."""

from __future__ import annotations

import copy
import math
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Union, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from clinicadl.config import places
from clinicadl.config.base import Place, Section, Table
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.names import nearest
from clinicadl.config.search import Choices, Normal, Range
from clinicadl.config.task import kind_of
from clinicadl.errors import UsageError, listed
from clinicadl.search.laws import Law, OneOf, Raw, law

Steps = tuple[str, ...]
"""Where something stands in the experiment: sections, rows of tables by their name, and setting."""

_FORMS: tuple[tuple[str, type[Range] | type[Choices] | type[Normal]], ...] = (
    ("choice", Choices), ("normal", Normal), ("low", Range), ("high", Range),
)  # fmt: skip
"""Key by which a distribution is told -> what is written there."""

_JUDGES = "it decides by whom or by what a trial is judged, which must be the same for all trials"
_UNSEARCHED: dict[Steps, str] = {
    ("data", "caps_directory"): _JUDGES,
    ("data", "tsv_directory"): _JUDGES,
    ("data", "multi_cohort"): _JUDGES,
    ("data", "diagnoses"): _JUDGES,
    ("data", "baseline"): _JUDGES,
    ("data", "valid_longitudinal"): _JUDGES,
    ("validation", "n_splits"): _JUDGES,
    ("validation", "split"): _JUDGES,
    ("task", "name"): _JUDGES,
    ("task", "label"): _JUDGES,
    ("task", "label_code"): _JUDGES,
    ("task", "extra_metrics"): _JUDGES,
    ("task", "selection_metrics"): _JUDGES,
}
"""Settings that have one value in a search, and why."""


class Needs(NamedTuple):
    """A table of which some rows have a setting."""

    table: Steps
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """A setting: its one value, or how it is distributed."""

    path: Steps
    """Where it stands in the experiment."""
    written: Steps
    """Where it stands in the file: settings of one row may stand below the name of the row."""
    value: Any
    law: Law | None
    needs: tuple[Needs, ...] = ()
    field: FieldInfo | None = None
    """None where there is no such setting."""

    @property
    def name(self) -> str:
        """The setting in words: ``optimization.learning_rate``, ``network.ResNet3D.dropout``."""
        steps = self.written[:-1] if self.written[-1] == "name" else self.written
        return ".".join(steps)


class Asked(Protocol):
    """Who decides what is drawn."""

    def ask(self, name: str, how: Law) -> Raw:
        """Return what is drawn of a setting."""
        ...


@dataclass(frozen=True)
class Answers:
    """Knows what is drawn of some settings; of the others it is the first end."""

    known: Mapping[str, Raw]

    def ask(self, name: str, how: Law) -> Raw:
        """Return what is drawn of a setting."""
        return self.known[name] if name in self.known else how.ends()[0]


class Point(NamedTuple):
    """A point of the space: one trial."""

    raw: dict[str, Raw]
    """Setting -> what was drawn."""
    values: dict[str, Any]
    """Setting -> its value."""
    experiment: dict[str, Any]
    """All settings, nested as the sections are."""


def items(experiment: Mapping[str, Any], *, where: Path | None = None) -> tuple[Item, ...]:
    """Return the settings that somebody wrote down, in the order of the configuration.

    Parameters
    ----------
    experiment
        Nested as the sections are; distributions in place of values.
    where
        The file, for messages.

    Raises
    ------
    UsageError
        A distribution is none, or is of a setting that has none, or that must not be searched.
    """
    reader = _Reader(where, experiment)
    found = tuple(reader.section(ExperimentConfig, experiment, (), (), ()))
    for one in found:
        reason = _UNSEARCHED.get(one.path)
        if one.law is not None and reason is not None:
            raise UsageError(
                f"The setting {'.'.join(one.path)} cannot be searched", where=where,
                found=one.value, fix=f"Give it one value: {reason}",
            )  # fmt: skip
    return found


def _ordered(written: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return settings in the order of the configuration, whatever the order of the file."""
    there = [name for name in known if name in written]
    return {name: written[name] for name in [*there, *sorted(set(written) - set(there))]}


def point(of: Sequence[Item], asked: Asked) -> Point:
    """Return the point that somebody decides on, without the architecture that is drawn block-wise.

    Settings of rows that are not chosen are not asked for.
    """
    raw: dict[str, Raw] = {}
    values: dict[str, Any] = {}
    experiment: dict[str, Any] = {}
    chosen: dict[Steps, Any] = {}
    for one in of:
        if any(chosen.get(need.table) not in need.rows for need in one.needs):
            continue
        value = one.value
        if one.law is not None:
            raw[one.name] = asked.ask(one.name, one.law)
            value = values[one.name] = one.law.value(raw[one.name])
        if one.path[-1] == "name":
            chosen[one.path[:-1]] = value
        _put(experiment, one.path, value)
    return Point(raw, values, experiment)


def searched(of: Sequence[Item]) -> list[Item]:
    """Return the settings that are searched."""
    return [one for one in of if one.law is not None]


def absolute(of: Sequence[Item], experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the experiment as it was written, with whole paths."""
    whole = copy.deepcopy(dict(experiment))
    for one in of:
        if one.field is None or not places.is_place(Place(one.path, one.field, None)):
            continue
        is_path = Path in (one.field.annotation, *get_args(one.field.annotation))
        kind: type[Path] | type[str] = Path if is_path else str
        if isinstance(one.law, OneOf):
            found: Any = {"choice": [_whole(kind, value) for value in one.law.values]}
        else:
            found = _whole(kind, one.value)
        _put(whole, one.written, found)
    return whole


def _whole(kind: type[Path] | type[str], value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_whole(kind, one) for one in value]
    return value if value is None else str(places.whole(kind(value)))


def _put(nested: dict[str, Any], path: Steps, value: Any) -> None:
    for step in path[:-1]:
        nested = nested.setdefault(step, {})
    nested[path[-1]] = value


class _Reader:
    """Tells distributions from values, by what the configuration says of each setting."""

    def __init__(self, where: Path | None, experiment: Mapping[str, Any]) -> None:
        self._where, self._experiment = where, experiment

    def section(
        self,
        model: type[Section],
        written: Mapping[str, Any],
        path: Steps,
        at: Steps,
        needs: tuple[Needs, ...],
    ) -> Iterator[Item]:
        """Yield the settings of a section; those that it does not have are left to be refused."""
        for key, value in _ordered(written, model.model_fields).items():
            field = model.model_fields.get(key)
            yield from self.setting(field, value, (*path, key), (*at, key), needs)

    def setting(
        self, field: FieldInfo | None, value: Any, path: Steps, at: Steps, needs: tuple[Needs, ...]
    ) -> Iterator[Item]:
        """Yield a setting, or those of a section or of the rows of a table."""
        if field is None:
            yield Item(path, at, value, None, needs)
            return
        table = next((one for one in field.metadata if isinstance(one, Table)), None)
        if table is not None:
            yield from self.rows(table, field, value, path, at, needs)
        elif _is_section(field) and isinstance(value, Mapping):
            yield from self.section(field.annotation, value, path, at, needs)  # type: ignore[arg-type]  # so it is
        else:
            yield Item(path, at, value, self.law(field, value, at), needs, field)

    def rows(
        self, table: Table[Any], field: FieldInfo, value: Any, path: Steps, at: Steps,
        needs: tuple[Needs, ...],
    ) -> Iterator[Item]:  # fmt: skip
        """Yield the name of a row, or how it is drawn, and the settings of all that it may be.

        Raises
        ------
        UsageError
            A setting belongs to none of the rows that are searched.
        """
        given = value if isinstance(value, Mapping) and "choice" not in value else {"name": value}
        rest = {key: one for key, one in given.items() if key != "name"}
        named = given.get("name", self._default(table, path))
        name_field = table.kind.model_fields["name"]
        how = self.law(name_field, named, (*at, "name"))
        yield Item((*path, "name"), (*at, "name"), named, how, needs, name_field)
        known = table.all_rows()
        names = how.values if isinstance(how, OneOf) else (named,)
        rows = {name: known[name] for name in names if isinstance(name, str) and name in known}
        fields = dict.fromkeys(name for row in rows.values() for name in row.model_fields)
        for key, one in _ordered(rest, fields).items():
            if key in known and isinstance(one, Mapping):
                if key not in names:
                    raise UsageError(
                        f"Settings of {key} have no effect", where=self._place(at),
                        found=f"searched: {listed(names)}", fix="Leave them out, or add its name",
                    )  # fmt: skip
                of_row = (*needs, Needs(path, (key,)))
                yield from self.section(rows[key], one, path, (*at, key), of_row)
                continue
            having = tuple(name for name, row in rows.items() if key in row.model_fields)
            if not having and len(names) > 1:
                raise UsageError(
                    f"The setting {key} belongs to none of {listed(names)}", where=self._place(at),
                    fix=f"The nearest known one is {', '.join(nearest(key, fields))}",
                )  # fmt: skip
            of_rows = (*needs, Needs(path, having or tuple(names)))
            own = rows[having[0]].model_fields[key] if having else None
            yield from self.setting(own, one, (*path, key), (*at, key), of_rows)

    def _default(self, table: Table[Any], path: Steps) -> str | None:
        task = kind_of(self._experiment.get("task", {})) if path == ("network",) else None
        return table.default if task is None else task.default_network

    def law(self, field: FieldInfo, value: Any, at: Steps) -> Law | None:
        """Return how a setting is distributed, or nothing if it has one value.

        Raises
        ------
        UsageError
            What is written is no distribution, or not one of such a setting.
        """
        kinds = _kinds(field)
        is_list = bool({tuple, list} & kinds)
        if isinstance(value, list) and not is_list:
            value = {"choice": value}
        if not isinstance(value, Mapping) or (dict in kinds and set(value) != {"choice"}):
            return None
        form = next((one for key, one in _FORMS if key in value), None)
        if form is None:
            raise UsageError(
                "This is neither a value nor a distribution", where=self._place(at), found=value,
                fix="Write {low=..., high=...}, {choice=[...]} or {normal=[mean, deviation]}",
            )  # fmt: skip
        if form is not Choices and not {int, float} & kinds:
            raise UsageError(
                "The setting is no number, so it has no range", where=self._place(at), found=value,
                fix="Write {choice=[...]}",
            )  # fmt: skip
        are_integers = float not in kinds
        try:
            found = form.model_validate(dict(value))
            if isinstance(found, Normal):
                found = _bounded(found, field, are_integers=are_integers)
            return law(found, are_integers=are_integers)
        except ValueError as error:
            raise UsageError(
                f"This is no distribution, because {_why(error)}", where=self._place(at),
                found=value, fix="Correct it",
            ) from error  # fmt: skip

    def _place(self, at: Steps) -> str:
        return f"{self._where}, {'.'.join(at)}" if self._where else ".".join(at)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _kinds(field: FieldInfo) -> set[Any]:
    """Return the types that a setting takes, of containers without what they hold."""
    waiting, found = [field.annotation], set()
    while waiting:
        one = waiting.pop()
        origin = get_origin(one)
        if origin in (Union, types.UnionType):
            waiting += get_args(one)
        else:
            found.add(origin or one)
    return found


def _bounded(one: Normal, field: FieldInfo, *, are_integers: bool) -> Normal:
    """Return a normal distribution that ends where the setting does, unless it ends before."""
    low, high = one.low, one.high
    for bound in field.metadata:
        if low is None and isinstance(bound, Ge):
            low = bound.ge  # type: ignore[assignment]  # bounds of numbers are numbers
        elif low is None and isinstance(bound, Gt):
            low = _behind(bound.gt, are_integers, math.inf)
        elif high is None and isinstance(bound, Le):
            high = bound.le  # type: ignore[assignment]  # see above
        elif high is None and isinstance(bound, Lt):
            high = _behind(bound.lt, are_integers, -math.inf)
    return Normal(normal=one.normal, low=low, high=high)


def _behind(bound: Any, are_integers: bool, towards: float) -> int | float:
    if are_integers:
        return int(bound) + (1 if towards > 0 else -1)
    return float(np.nextafter(bound, towards))


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    if first["type"] == "extra_forbidden":
        return f"{first['loc'][-1]} is not known"
    if first["type"] == "missing":
        return f"{first['loc'][-1]} is missing"
    message = first["msg"].removeprefix("Value error, ")
    where = f"{first['loc'][0]}: " if first["loc"] else ""
    return f"{where}{message[:1].lower()}{message[1:]}"
