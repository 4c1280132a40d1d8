"""Rows of our tables that a file of the user's adds, for as long as this process lives."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, UsageError, listed

GROUP_OF = {
    "NETWORKS": "clinicadl.networks",
    "MODES": "clinicadl.modes",
    "TASKS": "clinicadl.tasks",
    "CLASSIFICATION_METRICS": "clinicadl.metrics.classification",
    "REGRESSION_METRICS": "clinicadl.metrics.regression",
    "RECONSTRUCTION_METRICS": "clinicadl.metrics.reconstruction",
    "TRACKERS": "clinicadl.trackers",
    "ATTRIBUTIONS": "clinicadl.attributions",
}
"""Name of a table in the file -> entry points under which packages declare the same."""


class _Loaded(NamedTuple):
    path: Path
    digest: str


# The tables are asked by pydantic's validators, which nobody can hand anything: what was loaded is
# the one state that this package keeps. It grows by `load` alone, before anything else begins.
_ROWS: dict[str, dict[str, Any]] = {group: {} for group in GROUP_OF.values()}
_FILES: dict[str, _Loaded] = {}


def load(path: Path) -> None:
    """Run a file that the user named, and add the rows of its tables.

    The file is a Python module with one or more of the tables of `GROUP_OF`, literal ones as ours
    are.

    Parameters
    ----------
    path
        Ends in ``.py``; its name, without it, is the name of the module.

    Raises
    ------
    MissingInputError
        It does not exist.
    UsageError
        Its name is that of another module, or no Python file's.
    InvalidDataError
        It cannot be run, or has no table.
    """
    path = path.absolute()
    if not path.is_file():
        raise MissingInputError("The plugin does not exist", where=path, fix="Check the path")
    digest = sha256(path.read_bytes()).hexdigest()
    if path.name in _FILES and _FILES[path.name].digest == digest:
        return
    name = path.stem
    is_taken = name in sys.modules or _is_elsewhere(name, path)
    if path.suffix != ".py" or not name.isidentifier() or is_taken:
        raise UsageError(
            "A plugin is a file of Python with a name of its own", where=path,
            found="another module has this name" if is_taken else path.name,
            fix="Rename it, to my_networks.py for one",
        )  # fmt: skip
    module = _run(path)
    tables = {
        one: getattr(module, one)
        for one in GROUP_OF
        if isinstance(getattr(module, one, None), dict)
    }
    if not tables:
        del sys.modules[name]
        raise InvalidDataError(
            "The plugin has no table", where=path,
            fix=f"Define one or more of {listed(GROUP_OF)}: a dictionary from name to row",
        )  # fmt: skip
    for table, rows in tables.items():
        _ROWS[GROUP_OF[table]].update(rows)
    _FILES[path.name] = _Loaded(path, digest)


def _is_elsewhere(name: str, path: Path) -> bool:
    """Return whether Python finds another file under this name: its folder may be on the path."""
    found = PathFinder.find_spec(name)
    return found is not None and (
        found.origin is None or Path(found.origin).resolve() != path.resolve()
    )


def _run(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidDataError("The plugin cannot be read", where=path)
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except ClinicaDLError:
        raise
    except Exception as error:  # the user's code may raise anything, and is told where
        del sys.modules[path.stem]
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        line = f", line {last.tb_lineno}" if last is not None else ""
        raise InvalidDataError(
            "The plugin cannot be run",
            where=f"{path}{line}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    return module


def of_entry(point: EntryPoint) -> Any:
    """Return what an entry point of another package leads to.

    Raises
    ------
    UsageError
        It cannot be loaded; the package is named.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"What {package_of(point)} declares cannot be loaded", where=line_of(point),
            found=error, fix="Mend the package, or uninstall it",
        ) from error  # fmt: skip


def package_of(point: EntryPoint) -> str:
    """Return which package declares an entry point, in words."""
    return f"the package {point.dist.name}" if point.dist else "a package"


def line_of(point: EntryPoint) -> str:
    """Return where an entry point is declared, in words."""
    return f"{point.group}: {point.name} = {point.value}"


def rows(group: str) -> Mapping[str, Any]:
    """Return the rows that plugins add to the table of these entry points."""
    return _ROWS.get(group, {})


def loaded() -> dict[str, str]:
    """Return the SHA-256 of each file that was loaded, by name."""
    return {name: one.digest for name, one in _FILES.items()}


def paths() -> tuple[Path, ...]:
    """Return the files that were loaded, for processes that go on with our work."""
    return tuple(one.path for one in _FILES.values())
