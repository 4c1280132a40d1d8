"""Searches in outer folds of participants, whose test folds judge what each search chose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.predict import PredictConfig
from clinicadl.config.search import SearchConfig
from clinicadl.config.tables import KFoldConfig
from clinicadl.config.task import Classification, Regression
from clinicadl.engine.predict import predict
from clinicadl.errors import InvalidDataError, UsageError
from clinicadl.layouts import files, search, splits, tsv
from clinicadl.layouts.files import whole_folder
from clinicadl.layouts.maps import folder as maps_folder
from clinicadl.layouts.maps import outcomes
from clinicadl.layouts.maps.folder import open_maps
from clinicadl.layouts.search import Definition, Trial
from clinicadl.layouts.splits import TEST, VALIDATION
from clinicadl.search import plan, run
from clinicadl.search.plan import SearchPlan
from clinicadl.search.run import Watch
from clinicadl.tables import division, folds, sessions
from clinicadl.tables.division import People
from clinicadl.tasks.base import IMAGE

GROUP = "outer-test"
"""Data group that the best trial of a fold is evaluated on."""

_PAUSE_S = 0.5


class Fold(NamedTuple):
    """What the search of an outer fold chose, and how good that is on people it never saw."""

    number: int
    best: Trial
    n_participants: int
    """Of the test fold."""


def begin(
    config: SearchConfig,
    folder: Path,
    *,
    n_proc: int = 1,
    jobs: JobsConfig = HERE,
    file: Path | None = None,
) -> list[SearchPlan]:
    """Write the folder of searches that have no trials yet, whole; parameters as in `plan.ready`.

    Returns
    -------
    The search of each outer fold.

    Raises
    ------
    UsageError
        The tables are given as well, or the splits of each search cannot judge together.
    LeakageError
        A split leaks.
    """
    _check(config)
    files.refuse_existing(folder)
    files.refuse_unwritable(folder)
    with whole_folder(folder) as home:
        _write_tables(config, home)
        plans = [
            _planned(config, home, fold, n_proc=n_proc, jobs=jobs, file=file)
            for fold in range(config.outer_folds)
        ]
        found = []
        for one in plans:
            moved = _moved(one.definition, home.absolute(), folder.absolute())
            run.begin(SearchPlan(one.folder, moved, one.items, one.planned, one.n_workers))
            place = folder / one.folder.name
            found.append(SearchPlan(place, moved, one.items, one.planned, one.n_workers))
        search.write_definition(home, found[0].definition.model_copy(update={"config": config}))
    return found


def is_nested(folder: Path) -> bool:
    """Return whether a folder holds the searches of outer folds.

    Raises
    ------
    MissingInputError
        It holds no search.
    """
    return search.read_definition(folder).config.outer_folds > 0


def work(folder: Path, watch: Watch = lambda: None) -> None:
    """Make the trials of all folds, and evaluate the best of each; else as `run.work`.

    Raises
    ------
    LeakageError
        A search saw somebody of the test fold that judges it.
    """
    definition = search.read_definition(folder)
    for fold in range(definition.config.outer_folds):
        run.work(search.outer(folder, fold), watch)
        run.refuse_failed(run.read(search.outer(folder, fold)))
        _evaluate(folder, definition, fold)
    with files.turn(folder):
        _conclude(folder, definition)


def chosen(folder: Path) -> list[Fold]:
    """Return what each search chose, as far as there is something to choose from."""
    definition, found = search.read_definition(folder), []
    for number in range(definition.config.outer_folds):
        best = run.read(search.outer(folder, number)).best
        table = tsv.read(_test_table(folder, definition, number), "test fold")
        if best is not None:
            found.append(Fold(number, best, table[sessions.PARTICIPANT].nunique()))
    return found


def summary(folder: Path) -> Iterator[str]:
    """Yield each metric of all test folds together, with its interval over participants."""
    path = search.outer_results(folder, "metrics")
    rows = {str(row["Metrics"]): row for row in tsv.records(path, "table of metrics")}
    value, low, high = (rows[name] for name in ("Values", "Lower bound CI", "Upper bound CI"))
    for name, one in value.items():
        if name != "Metrics" and _is_number(one):
            limits = [cell for cell in (low[name], high[name]) if _is_number(cell)]
            interval = f" [{', '.join(f'{float(str(one)):.3f}' for one in limits)}]"
            yield f"outer {name}: {float(str(one)):.3f}{interval if len(limits) == 2 else ''}"


def _is_number(cell: object) -> bool:
    try:
        return isfinite(float(str(cell)))
    except ValueError:
        return False


def _check(config: SearchConfig) -> None:
    """Refuse what outer folds cannot judge.

    Raises
    ------
    UsageError
        So it is.
    """
    data = config.experiment.get("data", {})
    if isinstance(data, Mapping) and ("tsv_directory" in data or data.get("multi_cohort")):
        raise UsageError(
            "Outer folds make the tables of each search themselves", where="data.tsv_directory",
            fix="Leave it out, and name the table of all with --subjects_sessions_tsv",
        )  # fmt: skip
    n_splits = config.experiment.get("validation", {}).get("n_splits", 0)
    if not isinstance(n_splits, int) or n_splits < 2:
        raise UsageError(
            "Each search of an outer fold needs splits, whose models then speak together",
            where="validation.n_splits", found=n_splits, fix="Give 2 or more",
        )  # fmt: skip


def _write_tables(config: SearchConfig, home: Path) -> None:
    """Divide the participants into outer folds, and the rest of each into the splits of a search.

    Raises
    ------
    UsageError
        There is no table to divide.
    """
    if config.participants_tsv is None:
        raise UsageError("There is no table to divide", fix="Name it: --subjects_sessions_tsv")
    given, table = config.participants_tsv, search.participants(home)
    tsv.write(table, division.read(given).table)
    kept = division.of_table(table, sessions.read(table))
    outer = folds.plan(_kfold(config, table, config.outer_folds, TEST), kept)
    folds.write(outer)
    n_splits = int(config.experiment["validation"]["n_splits"])
    for fold in range(config.outer_folds):
        rest = search.outer_tables(home, config.outer_folds, fold) / "train.tsv"
        people: People = division.read(rest)
        folds.write(folds.plan(_kfold(config, rest, n_splits, VALIDATION), people))


def _kfold(config: SearchConfig, table: Path, n_folds: int, subset: str) -> KFoldConfig:
    return KFoldConfig(
        data_tsv=table, n_splits=n_folds, subset_name=subset, seed=config.seed,
        valid_longitudinal=bool(config.experiment.get("data", {}).get("valid_longitudinal")),
    )  # fmt: skip


def _planned(
    config: SearchConfig,
    home: Path,
    fold: int,
    *,
    n_proc: int,
    jobs: JobsConfig,
    file: Path | None,
) -> SearchPlan:
    """Return the search of an outer fold, on tables that its test fold is not in.

    Raises
    ------
    UsageError
        The models of several splits cannot speak together.
    """
    n_splits = int(config.experiment["validation"]["n_splits"])
    tables = search.outer_tables(home, config.outer_folds, fold) / f"{n_splits}_fold"
    data = {**config.experiment.get("data", {}), "tsv_directory": str(tables.absolute())}
    of_fold = config.model_copy(
        update={
            "experiment": {**config.experiment, "data": data},
            "outer_folds": 0,
            "participants_tsv": None,
        }
    )
    planned = plan.ready(of_fold, search.outer(home, fold), n_proc=n_proc, jobs=jobs, file=file)
    if not isinstance(planned.planned.config.task, Classification | Regression):
        raise UsageError(
            "Only of a classification or a regression can models speak together",
            where="--outer_folds", found=planned.planned.config.task.name, fix="Leave it out",
        )  # fmt: skip
    return planned


def _moved(definition: Definition, before: Path, now: Path) -> Definition:
    """Return a definition whose tables lie where they come to lie when all is written."""

    def there(place: str) -> str:
        path = Path(place)
        inside = path.is_relative_to(before)
        return str(now / path.relative_to(before)) if inside else place

    experiment: dict[str, Any] = {**definition.config.experiment}
    experiment["data"] = {
        **experiment["data"], "tsv_directory": there(experiment["data"]["tsv_directory"])
    }  # fmt: skip
    config = definition.config.model_copy(update={"experiment": experiment})
    tables = {there(path): digest for path, digest in definition.tables.items()}
    return definition.model_copy(update={"config": config, "tables": tables})


def _test_table(folder: Path, definition: Definition, fold: int) -> Path:
    home = search.outer_tables(folder, definition.config.outer_folds, fold)
    return home / splits.table_name(TEST, baseline=True)


def _evaluate(folder: Path, definition: Definition, fold: int) -> None:
    """Evaluate the best trial of a fold on the test fold, behind the guard, once.

    The models of its splits speak together.

    Raises
    ------
    InvalidDataError
        No trial came to its end.
    """
    best, metric = run.read(search.outer(folder, fold)).best, definition.config.metric
    if best is None:
        raise InvalidDataError(
            "No trial was trained to its end", where=search.outer(folder, fold),
            fix="Begin a new search, with more trials",
        )  # fmt: skip
    while not outcomes.has_results(best.maps, None, metric, GROUP):
        with files.claim(search.outer_lock(folder, fold)) as is_ours:
            if is_ours and not outcomes.has_results(best.maps, None, metric, GROUP):
                predict(_prediction(folder, definition, fold, best.maps), best.maps, GROUP)
                return
        time.sleep(_PAUSE_S)


def _prediction(folder: Path, definition: Definition, fold: int, maps: Path) -> PredictConfig:
    config = open_maps(maps).record.config
    # A look that was interrupted defined the group already.
    is_new = not maps_folder.has_group(maps, GROUP)
    places = {
        "caps_directory": config.data.caps_directory,
        "participants_tsv": _test_table(folder, definition, fold),
    }
    return PredictConfig(
        **(places if is_new else {}),
        selection_metrics=(definition.config.metric,),
        ensemble=True,
        batch_size=config.optimization.batch_size,
        n_proc=config.compute.n_proc,
        gpu=config.compute.gpu,
        amp=config.compute.amp,
    )


def _conclude(folder: Path, definition: Definition) -> None:
    """Write what the best trials said of all test folds together, each person judged once.

    Raises
    ------
    InvalidDataError
        The folds have other classes.
    """
    metric = definition.config.metric
    found = chosen(folder)
    records = [open_maps(one.best.maps).record for one in found]
    if any(one.label_code != records[0].label_code for one in records):
        raise InvalidDataError(
            "The outer folds have different classes", where=folder,
            fix="Give label_code, or take fewer folds",
        )  # fmt: skip
    task = records[0].config.task.build(records[0].label_code)
    seed = records[0].config.reproducibility.seed
    tables, rows = [], []
    for one in found:
        said = outcomes.read_predictions(one.best.maps, None, metric, GROUP, IMAGE)
        tables.append(said.assign(fold=one.number))
        scores = {f"test_{name}": value for name, value in task.scores(said).items()}
        rows.append(
            {
                "fold": one.number, "participants": one.n_participants, "trial": one.best.number,
                f"validation_{metric}": one.best.value, **scores,
                "maps": str(one.best.maps.relative_to(folder)),
            }
        )  # fmt: skip
    together = pd.concat(tables, ignore_index=True)
    results = {
        "folds": pd.DataFrame(rows),
        "predictions": together,
        "metrics": task.table(together.drop(columns="fold"), seed=seed),
    }
    for what, table in results.items():
        maps_folder.write_table(search.outer_results(folder, what), table)
