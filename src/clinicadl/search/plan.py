"""From settings to a search that can begin: everything is checked and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from clinicadl.config import plugins
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.read import judged, settings
from clinicadl.config.search import SearchConfig
from clinicadl.engine import need, train, watch
from clinicadl.engine.plan import Plan
from clinicadl.errors import UsageError, listed
from clinicadl.jobs import check as check_jobs
from clinicadl.jobs import cores
from clinicadl.layouts import files
from clinicadl.layouts.maps.record import generated_by
from clinicadl.layouts.search import Definition
from clinicadl.networks.fits import check_input
from clinicadl.search import sampled, space
from clinicadl.search.journal import optuna_module
from clinicadl.search.laws import OneOf, Raw
from clinicadl.search.space import Answers, Item
from clinicadl.transforms.pipeline import output_shape

_LOSSES = ("task.loss", "task.class_weights")
_EXTRACTION = ("data", "preprocessing_json")
_NETWORK = ("network", "name")


@dataclass(frozen=True)
class SearchPlan:
    """A search that can begin."""

    folder: Path
    definition: Definition
    items: tuple[Item, ...]
    """All settings, those that are searched and the others."""
    planned: Plan
    """Of the first corner of the space."""
    n_workers: int


def ready(
    config: SearchConfig,
    folder: Path,
    *,
    n_proc: int = 1,
    jobs: JobsConfig = HERE,
    file: Path | None = None,
) -> SearchPlan:
    """Return a search that may begin; nothing is written.

    Parameters
    ----------
    config
        What is searched.
    folder
        The folder to be.
    n_proc
        Workers.
    jobs
        Whether each is a job.
    file
        Where the experiment was read from, for messages.

    Raises
    ------
    OutputError
        There is something at ``folder``.
    UsageError
        A setting cannot be searched, or a value or an end of a range cannot be.
    InvalidDataError
        The same, in a file; or a table or image is wrong.
    LeakageError
        A split leaks.
    MissingExtraError
        Optuna is not installed.
    """
    optuna_module()
    files.refuse_existing(folder)
    files.refuse_unwritable(folder)
    if jobs.submit is not None:
        check_jobs(jobs)
    items = space.items(config.experiment, where=file)
    _check_something_is_searched(config, items, file)
    for answers in _ends(items):
        _experiment(items, answers, file)
    config = config.model_copy(update={"experiment": space.absolute(items, config.experiment)})
    items = space.items(config.experiment, where=file)
    plans = _plans(items, file)
    planned = plans[0]
    _check_metric(config, items, planned)
    definition = _definition(config, plans, threads=_threads(config, n_proc, jobs))
    for answers in _ends(items):
        _check_network(items, definition, answers, planned, file)
    if jobs.submit is None:
        need.check(planned.needed, planned.config, planned.device)
    return SearchPlan(folder, definition, items, planned, n_proc)


def _definition(config: SearchConfig, plans: Sequence[Plan], *, threads: int) -> Definition:
    return Definition(
        config=config,
        higher_is_better=plans[0].task.higher_is_better()[config.metric],
        sizes={one.config.data.preprocessing_json: one.stored.shape for one in plans},
        threads=threads,
        tables=dict(plans[0].tables),
        plugins=plugins.loaded(),
        generated_by=generated_by() | {"optuna": str(optuna_module().__version__)},
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def experiment_of(
    items: Sequence[Item], definition: Definition, raw: Mapping[str, Raw], file: Path | None = None
) -> ExperimentConfig:
    """Return the experiment of a point of the space.

    Raises
    ------
    UsageError
        The values do not go together.
    InvalidDataError
        The same, in a file.
    """
    return _config(sampled.drawn(items, definition, Answers(raw))[0].experiment, file)


def _config(nested: Mapping[str, object], file: Path | None) -> ExperimentConfig:
    if file is None:
        return settings(ExperimentConfig, nested)
    return judged(ExperimentConfig, nested, file)


def _experiment(
    items: Sequence[Item], answers: Mapping[str, Raw], file: Path | None
) -> ExperimentConfig:
    """Return the experiment of a point, with a small network where its blocks are to be drawn."""
    nested = space.point(items, Answers(answers)).experiment
    network = nested.get("network", {})
    if network.get("name") == sampled.DRAWN and "convolutions_dict" not in network:
        nested["network"] = {
            "convolutions_dict": {"conv0": {"out_channels": 1}}, "n_fcblocks": 1, **network
        }  # fmt: skip
    return _config(nested, file)


def _ends(items: Sequence[Item]) -> Iterator[dict[str, Raw]]:
    """Yield the first corner of the space, and each end of each setting with the rows it needs."""
    yield {}
    for one in items:
        for end in one.law.ends() if one.law is not None else ():
            rows: dict[str, Raw] = {".".join(need.table): need.rows[0] for need in one.needs}
            yield {**rows, one.name: end}


def _plans(items: Sequence[Item], file: Path | None) -> list[Plan]:
    """Return the plans of each network on each extraction, that of the first corner first.

    Raises
    ------
    UsageError
        A network cannot take these images, or several processes were started.
    """
    wanted: list[dict[str, Raw]] = [{}]
    for path in (_EXTRACTION, _NETWORK):
        one = next((item for item in items if item.path == path), None)
        if one is not None and isinstance(one.law, OneOf):
            wanted = [{**others, one.name: raw} for others in wanted for raw in one.law.labels]
    found = []
    for answers in wanted:
        config = _experiment(items, answers, file)
        watch.check(config.tracking)
        found.append(train.planned_for(config, HERE))
    world = found[0].device.ranks.world
    if world > 1:
        raise UsageError(
            "A worker of a search is one process", found=f"{world} processes",
            fix="Start it without torchrun or srun; more workers need --n_proc",
        )  # fmt: skip
    return found


def _check_network(
    items: Sequence[Item],
    definition: Definition,
    answers: Mapping[str, Raw],
    planned: Plan,
    file: Path | None,
) -> None:
    """Refuse a network that cannot be built, whatever its weights would be.

    Raises
    ------
    UsageError
        So it is.
    """
    config = experiment_of(items, definition, answers, file)
    stored = definition.sizes[config.data.preprocessing_json]
    shape = output_shape(config.transforms, stored)
    check_input(config.network, shape)
    with torch.device("meta"):
        config.network.build(shape, planned.task.n_outputs)


def _check_something_is_searched(
    config: SearchConfig, items: Sequence[Item], file: Path | None
) -> None:
    """Refuse a search of nothing, and blocks of a network that is not among the searched ones.

    Raises
    ------
    UsageError
        So it is.
    """
    of_network = next((one for one in items if one.path == _NETWORK), None)
    named = of_network and (
        of_network.law.values if isinstance(of_network.law, OneOf) else [of_network.value]
    )
    if config.architecture is not None and sampled.DRAWN not in (named or ()):
        raise UsageError(
            f"Blocks are drawn of a {sampled.DRAWN}, and no such network is searched",
            where=f"{file or 'search'}, architecture", found=listed(named or ["no network"]),
            fix=f"Name {sampled.DRAWN} in network.name, or leave architecture out",
        )  # fmt: skip
    if not space.searched(items) and config.architecture is None:
        raise UsageError(
            "Nothing is searched", where=file,
            fix="Write {low=..., high=...}, {choice=[...]} or {normal=[mean, deviation]} in place "
            "of the value of a setting",
        )  # fmt: skip


def _check_metric(config: SearchConfig, items: Sequence[Item], planned: Plan) -> None:
    """Refuse a metric that does not judge all trials alike.

    Raises
    ------
    UsageError
        No best model is chosen by it, or it means another thing in another trial.
    """
    chosen = planned.config.task.selection_metrics
    if config.metric not in chosen:
        raise UsageError(
            "No best model is chosen by the metric that judges trials", where="--metric",
            found=config.metric, fix=f"Take {' or '.join(chosen)}, or add it to selection_metrics",
        )  # fmt: skip
    losses = [one.name for one in space.searched(items) if one.name in _LOSSES]
    if config.metric == "loss" and losses:
        raise UsageError(
            "The loss cannot judge trials that have different ones", where="--metric",
            found=listed(losses), fix="Take another metric, and add it to selection_metrics",
        )  # fmt: skip


def _threads(config: SearchConfig, n_proc: int, jobs: JobsConfig) -> int:
    """Return with how many threads each trial computes, on which its bits depend."""
    if config.threads is not None:
        return config.threads
    said = cores(jobs)
    if said is not None:
        return said
    shared = n_proc if jobs.submit != "slurm" else 1
    return max(torch.get_num_threads() // shared, 1)
