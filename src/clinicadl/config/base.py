"""How a setting is written down once, so that flags, files and records derive from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from clinicadl.config.names import nearest


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
        module, _, name = self.builds.partition(":")
        return getattr(import_module(module), name)(self, *inputs)


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


@dataclass(frozen=True)
class Table:
    """Validates a field that takes one row of a table; made by `from_table`."""

    rows: Mapping[str, type[Choice]]
    group: str
    default: str | None = None
    """Row that is meant where parameters are given without a name."""

    def all_rows(self) -> dict[str, type[Choice]]:
        """Return our rows and those that other packages declare as entry points."""
        return {**_declared(self.group), **self.rows}

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
                "'{name}' is not known; the nearest are {nearest}",
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
        return {"oneOf": [row.model_json_schema() for row in self.all_rows().values()]}


def from_table(
    rows: Mapping[str, type[Choice]], group: str, *, default: str | None = None
) -> Table:
    """Return the annotation of a field that takes a row of ``rows`` or of other packages.

    Parameters
    ----------
    rows
        Name -> settings.
    group
        Entry points under which other packages declare rows.
    default
        Row that is meant where parameters are given without a name.
    """
    return Table(rows, group, default)


@cache
def _declared(group: str) -> dict[str, type[Choice]]:
    return {point.name: point.load() for point in entry_points(group=group)}


class Place(NamedTuple):
    """Where a setting stands in a configuration."""

    path: tuple[str, ...]
    field: FieldInfo
    table: Table | None
    """The table, where the setting is the name of a row."""

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
            chosen = (rows or {}).get(name)
            for row in [table.all_rows()[chosen]] if chosen else table.all_rows().values():
                for place in places(row, path):
                    if place.path != (*path, "name"):
                        yield place
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from places(field.annotation, path)
        else:
            yield Place(path, field, None)
