"""How a setting is written down once, so that flags, files and records derive from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from clinicadl.config import plugins
from clinicadl.config.names import nearest
from clinicadl.errors import UsageError


class Section(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Choice(Section):
    """One row of a table of things to choose from, with the parameters of its own."""

    builds: ClassVar[str]
    """``module:function`` that makes the thing from these settings."""

    name: str

    def build(self, *inputs: Any) -> Any:
        """Return what these settings stand for, made by the function that ``builds`` names."""
        return linked(self.builds)(self, *inputs)


def linked(place: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str | None = None,
    flag: str | None = None,
    short: str | None = None,
    off: str | None = None,
    **bounds: Any,
) -> Any:
    """Return a field: the only place where a setting's default, meaning, unit and bounds stand.

    Parameters
    ----------
    default
        Its value when nobody says anything; ``...`` when somebody must.
    meaning
        One phrase, shown by ``--help`` and by the form.
    unit
        Unit of the value.
    flag
        Name on the command line where it is not the field's own.
    short
        Short form on the command line, without the dash.
    off
        Name of the flag that turns a boolean off, where it is not ``no-<flag>``.
    bounds
        What pydantic's ``Field`` takes: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ...
    """
    how = {"unit": unit, "flag": flag, "short": short, "off": off}
    # Only what was said: the JSON Schema shows these beside the field.
    shown: dict[str, Any] = {name: value for name, value in how.items() if value is not None}
    return Field(default, description=meaning, json_schema_extra=shown or None, **bounds)


Kind = TypeVar("Kind", bound=Choice)


@dataclass(frozen=True)
class Table(Generic[Kind]):
    """Validates a field that takes one row of a table; made by `from_table`."""

    rows: Mapping[str, type[Kind]]
    group: str
    default: str | None
    """Row that is meant where parameters are given without a name."""
    kind: type[Kind]
    """What every row derives from."""

    def all_rows(self) -> dict[str, type[Kind]]:
        """Return our rows, and behind them those that packages and plugins declare.

        A name that we have is ours.

        Raises
        ------
        UsageError
            What is declared cannot be loaded, or does not say what our rows say.
        """
        added = {**_declared(self.group), **plugins.rows(self.group)}
        for name, row in added.items():
            is_whole = isinstance(row, type) and issubclass(row, self.kind) and not isabstract(row)
            if not is_whole:
                raise UsageError(
                    f"The row {name} that was added to our table cannot be used",
                    where=f"entry points {self.group}", found=row,
                    fix=f"Derive it from {self.kind.__module__}.{self.kind.__name__} with all that "
                    "it asks for, or leave its package or plugin out",
                )  # fmt: skip
        return {**self.rows, **added, **self.rows}

    def row(self, value: Any) -> Choice:
        """Return the row that a name, a mapping with a name, or a row stands for.

        Raises
        ------
        PydanticCustomError
            There is no such row; pydantic adds where.
        """
        if isinstance(value, Choice):
            return value
        settings = {"name": value} if isinstance(value, str) else value
        if isinstance(settings, Mapping) and self.default is not None:
            settings = {"name": self.default, **settings}
        if not isinstance(settings, Mapping) or not isinstance(settings.get("name"), str):
            raise PydanticCustomError("no_name", "needs a name, one of {names}", self._names())
        rows = self.all_rows()
        name = settings["name"]
        if name not in rows:
            raise PydanticCustomError(
                "unknown_name",
                "'{name}' is not known; the nearest are {nearest}; what a file of yours adds needs "
                "--plugin FILE",
                {"name": name, "nearest": ", ".join(nearest(name, rows))},
            )
        return rows[name](**settings)

    def _names(self) -> dict[str, Any]:
        return {"names": ", ".join(self.all_rows())}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.row,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda row: row.model_dump(mode="json")
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        rows = self.all_rows().values()
        return {"oneOf": [handler(row.__pydantic_core_schema__) for row in rows]}


def from_table(
    rows: Mapping[str, type[Any]],
    group: str,
    *,
    default: str | None = None,
    kind: type[Any] = Choice,
) -> Table[Any]:
    """Return the annotation of a field that takes a row of ``rows`` or of other packages.

    Parameters
    ----------
    rows
        Name -> settings.
    group
        Entry points under which other packages declare rows.
    default
        Row that is meant where parameters are given without a name.
    kind
        What every row derives from.
    """
    return Table(rows, group, default, kind)


@cache
def _declared(group: str) -> dict[str, type[Choice]]:
    return {point.name: _loaded(point) for point in entry_points(group=group)}


def _loaded(point: EntryPoint) -> type[Choice]:
    """Return the row that an entry point leads to.

    Raises
    ------
    UsageError
        There is none; the package is named.
    """
    row = plugins.of_entry(point)
    is_row = isinstance(row, type) and issubclass(row, Choice)
    if not is_row or row.model_fields["name"].default != point.name:
        raise UsageError(
            f"What {plugins.package_of(point)} declares is no row of the table", found=row,
            where=plugins.line_of(point),
            fix=f"Declare a subclass of Choice whose name is {point.name} by default",
        )  # fmt: skip
    return row  # type: ignore[no-any-return]  # it was just looked at


class Place(NamedTuple):
    """Where a setting stands in a configuration."""

    path: tuple[str, ...]
    field: FieldInfo
    table: Table[Any] | None
    """The table, where the setting is the name of a row."""
    row: str | None = None
    """The row of a table that has the setting."""

    @property
    def flag(self) -> str:
        """The long flag, without dashes."""
        return str(self.said("flag") or self.path[-2 if self.table else -1])

    def said(self, name: str) -> Any:
        """Return what `setting` was told besides the default, the meaning and the bounds."""
        shown = self.field.json_schema_extra
        return shown.get(name) if isinstance(shown, dict) else None


def places(
    model: type[Section], prefix: tuple[str, ...] = (), *, rows: Mapping[str, str] | None = None
) -> Iterator[Place]:
    """Yield every setting of a configuration, those of its sections and of every row included.

    Parameters
    ----------
    model
        The configuration.
    prefix
        Sections that it is in.
    rows
        Field -> the only row of its table whose settings count.
    """
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        table = next((item for item in field.metadata if isinstance(item, Table)), None)
        if table is not None:
            yield Place((*path, "name"), field, table)
            known = table.all_rows()
            chosen = (rows or {}).get(name)
            for row_name, row in {chosen: known[chosen]}.items() if chosen else known.items():
                for place in places(row, path):
                    if place.path != (*path, "name"):
                        yield place._replace(row=row_name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from places(field.annotation, path)
        else:
            yield Place(path, field, None)
