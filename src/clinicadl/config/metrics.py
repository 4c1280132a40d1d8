"""Metrics that packages and plugins add to those of a task, by name until one is wanted."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from clinicadl.config import plugins
from clinicadl.errors import UsageError


def group_of(kind: str) -> str:
    """Return the entry points under which packages declare metrics of a kind of task."""
    return f"clinicadl.metrics.{kind}"


def declared(kind: str) -> tuple[str, ...]:
    """Return the names of the metrics that are declared for a kind of task, loading none."""
    group = group_of(kind)
    return tuple({**dict.fromkeys(entry_points(group=group).names), **plugins.rows(group)})


def load(kind: str, name: str) -> Any:
    """Return a metric that a plugin or a package declares.

    Raises
    ------
    UsageError
        It is not declared, or its package cannot be loaded.
    """
    group = group_of(kind)
    if name in plugins.rows(group):
        return plugins.rows(group)[name]
    points = [*entry_points(group=group, name=name)]
    if not points:
        raise UsageError(
            "The metric is not known", where="--extra_metrics", found=name,
            fix="Name its file with --plugin, or install its package",
        )  # fmt: skip
    return plugins.of_entry(points[0])
