"""Train the networks of an experiment."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from clinicadl.config import places, plugins
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.data.batches import readers_watched
from clinicadl.engine import need, rescans, split_jobs, watch
from clinicadl.engine.devices import deterministic, memory
from clinicadl.engine.events import Judge, Observer, SplitInterrupted, Stopped
from clinicadl.engine.one_split import layers, train_split
from clinicadl.engine.plan import Plan, announce, plan, training_split
from clinicadl.engine.seen import unnamed_of
from clinicadl.errors import UsageError
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.jobs import Jobs
from clinicadl.jobs import check as check_jobs
from clinicadl.layouts import files
from clinicadl.layouts.maps import folder, names, outcomes, signatures
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.hidden import Hidden
from clinicadl.layouts.maps.record import Record, generated_by
from clinicadl.layouts.maps.signatures import Signatures
from clinicadl.tables import sessions

logger = logging.getLogger(__name__)


def train(
    config: ExperimentConfig,
    maps: Path,
    *,
    jobs: JobsConfig = HERE,
    observers: Sequence[Observer] = (),
) -> Maps:
    """Train every split that the experiment names, and write everything into a new MAPS.

    Parameters
    ----------
    config
        The experiment.
    maps
        The MAPS to be; absent or an empty folder.
    jobs
        Whether each split is a job of its own: of Slurm, and then we return at once; or of this
        machine, and then we wait for them.
    observers
        Told of everything that happens in this process.

    Returns
    -------
    The MAPS, with weights, logs, predictions and metrics of train and validation; what Slurm does
    comes later.

    Raises
    ------
    OutputError
        There is something at ``maps``.
    LeakageError
        A split leaks.
    InvalidDataError
        A table or image is wrong, or the training diverged.
    MissingInputError
        An image or table is absent.
    UsageError
        It does not fit into the memory, or Slurm refused the jobs.
    ClinicaDLError
        Jobs of this machine failed; of the kind of the first one's exit code.
    """
    return carry_out(ready(config, maps, jobs=jobs), maps, jobs=jobs, observers=observers)


def carry_out(
    planned: Plan, maps: Path, *, jobs: JobsConfig, observers: Sequence[Observer]
) -> Maps:
    """Train as planned by `ready`, here or in jobs; else as `train`."""
    if jobs.submit is None:
        return run(planned, maps, observers=observers)
    submitted = submit(planned, maps, jobs)
    if jobs.submit == "local":
        for _ in split_jobs.finish(submitted, maps, planned.config.validation.chosen()):
            pass
    return folder.open_maps(maps)


def submit(planned: Plan, maps: Path, jobs: JobsConfig) -> Jobs:
    """Create the MAPS as planned by `ready`, and submit a job for each of its splits.

    Raises
    ------
    UsageError
        Slurm refused the jobs; then there is no MAPS.
    """
    _create(planned, maps, split_jobs.resolved(jobs, planned))
    try:
        return split_jobs.submit(jobs, planned, maps, planned.config.validation.chosen())
    except UsageError:
        shutil.rmtree(maps)
        raise


def run(
    planned: Plan, maps: Path, *, observers: Sequence[Observer] = (), judge: Judge | None = None
) -> Maps:
    """Train as planned by `ready`, and write everything into the new MAPS; else as `train`.

    Raises
    ------
    Stopped
        The judge ended the training.
    """
    ranks = planned.device.ranks
    # All have seen that there is nothing yet.
    ranks.wait()
    if ranks.is_first:
        _create(planned, maps, planned.device.to_record())
    ranks.wait()
    train_splits(planned, maps, planned.config.validation.chosen(), observers, judge=judge)
    return folder.open_maps(maps)


def _create(planned: Plan, maps: Path, resolved: Mapping[str, Any]) -> None:
    own = rescans.signatures_of(planned.stored)
    findings = tuple(
        rescans.with_picture(one, names.seen_pairs(maps))
        for one in check.rescans([training_split(one) for one in planned.splits], own)
    )
    announce(Verdict(findings))
    verdict = replace(planned.verdict, findings=(*planned.verdict.findings, *findings))
    folder.create(
        maps,
        _record(replace(planned, verdict=verdict), resolved),
        seen=everybody_seen(planned),
        groups=_groups(planned),
        origin=folder.group_origin(
            planned.config.data.caps_directory,
            {one.name: one.caps for one in planned.cohorts},
            is_multi=planned.config.data.multi_cohort,
        ),
        layers=layers(planned),
        shown=_all_signatures(planned, own),
        unnamed=_all_unnamed(planned),
    )
    rescans.draw(findings, names.seen_pairs(maps), [rescans.images_of(planned.stored)])


def _all_signatures(planned: Plan, own: Signatures) -> dict[str, Signatures]:
    """Return what the images show that all splits see, and those that all ancestors saw."""
    shown: dict[str, Signatures] = {"": own} if own else {}
    source = planned.config.transfer.transfer_path
    if source is not None:
        theirs = signatures.read(names.seen_signatures(source))
        shown |= {who or str(source.resolve()): some for who, some in theirs.items()}
    return shown


def _all_unnamed(planned: Plan) -> list[Hidden]:
    """Return whom all ancestors saw that nobody knows by name."""
    source = planned.config.transfer.transfer_path
    if source is None:
        return []
    return [
        one.model_copy(update={"who": one.who or str(source.resolve())})
        for one in unnamed_of(source)
    ]


def ready(config: ExperimentConfig, maps: Path, *, jobs: JobsConfig = HERE) -> Plan:
    """Return the plan of a training that may begin; nothing is written.

    Raises
    ------
    OutputError
        There is something at ``maps``, or nothing can be written there.
    MissingExtraError
        The experiment names a tracker whose package is not installed.
    LeakageError
        A split leaks.
    UsageError
        The training does not fit into the memory, or the jobs cannot be begun.
    """
    watch.check(config.tracking)
    files.refuse_existing(maps)
    files.refuse_unwritable(maps)
    planned = planned_for(places.absolute(config), jobs)
    if jobs.submit is not None:
        split_jobs.check(jobs, planned, config.validation.chosen())
    else:
        need.check(planned.needed, planned.config, planned.device)
    return planned


def planned_for(config: ExperimentConfig, jobs: JobsConfig) -> Plan:
    """Return the plan of a training here or in jobs, in which the guard found nothing to refuse.

    Raises
    ------
    LeakageError
        A split leaks.
    UsageError
        An option of the jobs is wrong, or there is no Slurm here.
    MissingExtraError
        submitit is not installed.
    """
    if jobs.submit is not None:
        check_jobs(jobs)
    planned = split_jobs.planned_elsewhere(config) if jobs.submit == "slurm" else plan(config)
    announce(planned.verdict.enforce(None))
    if config.data.shuffle_labels:
        logger.warning("The labels of train are shuffled: what is learnt means nothing")
    return planned


def _record(planned: Plan, resolved: Mapping[str, Any]) -> Record:
    return Record(
        config=planned.config,
        extractions=tuple(one.content for one in planned.extractions),
        label_code=planned.codes,
        input_shape=planned.input_shape,
        image_grid=planned.stored.grid,
        resolved=dict(resolved),
        tables=dict(planned.tables),
        parents=planned.parents,
        guard=tuple(planned.verdict.to_record()["findings"]),
        plugins=plugins.loaded(),
        generated_by=generated_by(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _groups(planned: Plan) -> dict[tuple[str, int], pd.DataFrame]:
    groups = {}
    for one in planned.splits:
        groups[names.TRAIN, one.number] = one.train
        groups[names.VALIDATION, one.number] = one.validation
    return groups


def everybody_seen(planned: Plan, record: Record | None = None) -> pd.DataFrame:
    """Return the union of what all splits see and of what all ancestors saw.

    Parameters
    ----------
    planned
        The plan.
    record
        Of the MAPS, if there is one: a source of first weights has the name that it has there,
        wherever it lies now.
    """
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    tables = [table[ids] for one in planned.splits for table in (one.train, one.validation)]
    own = pd.concat(tables).drop_duplicates().sort_values(ids)
    hashes = [planned.stored.origins[key].sha256 for key in sessions.sessions_of(own)]
    seen = [own.assign(image_sha256=hashes, seen_by="")]
    source = planned.config.transfer.transfer_path
    if source is not None:
        theirs = folder.read_seen(source)
        name = record.parents[0].path if record and record.parents else str(source.resolve())
        who = theirs["seen_by"].where(theirs["seen_by"] != "", name)
        seen.append(theirs.assign(seen_by=who))
    return pd.concat(seen, ignore_index=True)


def train_splits(
    planned: Plan,
    maps: Path,
    chosen: Sequence[int],
    observers: Sequence[Observer],
    *,
    judge: Judge | None = None,
) -> None:
    """Train those splits of a MAPS that are not trained to their end.

    Parameters
    ----------
    planned, maps, chosen
        The plan, the MAPS and the splits.
    observers
        Told of everything.
    judge
        Asked then whether the training ends here.

    Raises
    ------
    Stopped
        The judge ended the training.
    OutputError
        Another process trains one of them, or has the MAPS alone.
    UsageError
        The training does not fit into the memory.
    """
    watching = watch.watchers(planned.config, observers)
    config, is_first = planned.config, planned.device.ranks.is_first
    setting = need.check(planned.needed, config, planned.device)
    with (
        folder.shared(maps) if is_first else nullcontext(),
        memory(setting, planned.device),
        deterministic(config.reproducibility),
        readers_watched(),
    ):
        for one in planned.splits:
            if one.number not in chosen:
                continue
            try:
                with folder.training(maps, one.number) if is_first else nullcontext():
                    # Only now: before, another process might just have been finishing it.
                    if is_finished(planned, one.number, maps):
                        continue
                    if is_first:
                        folder.begin(maps, one.number)
                    for event in train_split(planned, one, maps):
                        if is_first:
                            watching.tell(event)
                        if judge is not None and judge(event):
                            raise Stopped
            except BaseException:
                if is_first:
                    watching.tell(SplitInterrupted(one.number))
                raise
    planned.device.ranks.part()


def is_finished(planned: Plan, split: int, maps: Path) -> bool:
    """Return whether a split is trained, and has its results."""
    return not folder.is_unfinished(maps, split) and all(
        outcomes.has_results(maps, split, metric, name)
        for metric in planned.config.task.selection_metrics
        for name in names.OWN_GROUPS
    )
