"""One metric of all networks of a random search, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from clinicadl.config.random_search import RandomAnalysisConfig
from clinicadl.errors import MissingInputError, UsageError, listed
from clinicadl.layouts import files, launch, tsv
from clinicadl.layouts.maps import names, published
from clinicadl.tasks.base import IMAGE

_MAPS = "MAPS"


def analyse_random_search(config: RandomAnalysisConfig) -> Path:
    """Write one metric on validation of all networks and splits of a random search.

    Parameters
    ----------
    config
        The folder, the metric, and by which metric the best models were selected.

    Returns
    -------
    The table: one row a MAPS, one column a split; empty where a split was not trained.

    Raises
    ------
    MissingInputError
        There is no MAPS, or none has such a best model.
    UsageError
        No MAPS has the metric.
    OutputError
        The table exists already, or cannot be written.
    """
    files.refuse_unwritable(config.table)
    if not config.overwrite:
        files.refuse_existing(config.table)
    found = launch.all_maps(config.launch_directory)
    if not found:
        raise MissingInputError(
            "There is no MAPS in the folder", where=config.launch_directory,
            fix="Make one with: clinicadl random-search generate",
        )  # fmt: skip
    tables = {path: dict(_tables(path, config.selection_metric)) for path in found}
    if not any(tables.values()):
        best = {one for path in found for split in published.numbered(path).values()
                for one in published.best(split)}  # fmt: skip
        raise MissingInputError(
            f"No MAPS has a best model by {config.selection_metric}",
            where=config.launch_directory, found=listed(sorted(best)) or "no finished split",
            fix="Choose another --selection_metric",
        )  # fmt: skip
    rows = {
        path.name: {split: _value(one, config.evaluation_metric) for split, one in splits.items()}
        for path, splits in tables.items()
    }
    if all(value is None for row in rows.values() for value in row.values()):
        known = dict.fromkeys(
            name for splits in tables.values() for metrics in splits.values() for name in metrics
        )
        raise UsageError(
            "No MAPS has the metric", where="--evaluation_metric",
            found=config.evaluation_metric, fix=f"Known are {listed(known, most=20)}",
        )  # fmt: skip
    numbers = sorted({split for splits in tables.values() for split in splits})
    lines = ["\t".join([_MAPS, *(f"split-{number}" for number in numbers)])]
    for name, row in rows.items():
        cells = (row.get(number) for number in numbers)
        lines.append("\t".join([name, *("" if cell is None else repr(cell) for cell in cells)]))
    files.write_text(config.table, "\n".join(lines) + "\n")
    return config.table


def _tables(maps: Path, metric: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield split -> the metrics on validation of its best model; of images where they are."""
    for number, split in published.numbered(maps).items():
        results = published.best(split).get(metric, split) / names.VALIDATION
        if not results.is_dir():
            continue
        found: dict[str, float] = {}
        of_images = names.metrics(results, IMAGE)
        for path in sorted(names.metrics_tables(results), key=lambda path: path != of_images):
            found = {**_values(tsv.read(path, "table of metrics")), **found}
        yield number, found


def _values(table: pd.DataFrame) -> dict[str, float]:
    """Return the first row of numbers, the values; of several networks, that of the first."""
    shown = table.iloc[0]
    numbers = pd.to_numeric(shown, errors="coerce").dropna()
    return {str(name): float(value) for name, value in numbers.items()}


def _value(metrics: Mapping[str, float], name: str) -> float | None:
    """Return a metric; of several classes that have one each, their mean."""
    if name in metrics:
        return metrics[name]
    of_classes = [value for one, value in metrics.items() if one.rpartition("-")[0] == name]
    return sum(of_classes) / len(of_classes) if of_classes else None
