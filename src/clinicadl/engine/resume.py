"""Go on with a training that was interrupted, or some of whose splits are not trained yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.engine import repeat, split_jobs, train, watch
from clinicadl.engine.events import Observer
from clinicadl.engine.plan import Plan
from clinicadl.errors import CannotResumeError, UsageError, listed
from clinicadl.jobs import Jobs
from clinicadl.layouts.maps import folder
from clinicadl.layouts.maps.folder import Maps

logger = logging.getLogger(__name__)


class Resumption(NamedTuple):
    """A training that can go on."""

    maps: Maps
    planned: Plan
    splits: tuple[int, ...]
    """Those that were asked for and are not trained to their end."""


def resume(
    maps: Path,
    *,
    splits: Sequence[int] = (),
    jobs: JobsConfig = HERE,
    observers: Sequence[Observer] = (),
) -> Maps:
    """Go on with an interrupted training, to the same bits as without the interruption.

    Parameters
    ----------
    maps
        A MAPS whose training was interrupted, or some of whose splits were not trained yet.
    splits
        Splits to go on with; those of the experiment by default.
    jobs
        Whether each split is a job of its own: of Slurm, and then we return at once; or of this
        machine, and then we wait for them.
    observers
        Told of everything that happens in this process.

    Returns
    -------
    The MAPS.

    Raises
    ------
    UsageError
        There is no such split.
    OutputError
        The MAPS cannot be written, or another process trains one of the splits.
    CannotResumeError
        The tables, the images or the labels are not those that the training began with.
    ClinicaDLError
        Jobs of this machine failed; of the kind of the first one's exit code.
    """
    found = ready(maps, splits=splits, jobs=jobs)
    if jobs.submit is None:
        run(found, observers=observers)
    elif found.splits:
        submitted = submit(found, jobs)
        if jobs.submit == "local":
            for _ in split_jobs.finish(submitted, maps, found.splits):
                pass
    return found.maps


def ready(maps: Path, *, splits: Sequence[int] = (), jobs: JobsConfig = HERE) -> Resumption:
    """Return how a training may go on; nothing is written, else as `resume`.

    Raises
    ------
    UsageError
        There is no such split.
    CannotResumeError
        Another release began the training, or its data are others now.
    """
    opened = folder.open_maps(maps)
    if opened.record.imported is not None:
        raise CannotResumeError(
            "The training cannot go on: another release began it", where=maps,
            fix="Train it anew with: clinicadl train from-maps MAPS NEW_MAPS",
        )  # fmt: skip
    config = opened.record.config
    folder.refuse_read_only(maps)
    known = range(max(config.validation.n_splits, 1))
    unknown = [number for number in splits if number not in known]
    if unknown:
        raise UsageError(
            "The experiment has no such split", where="--split", found=listed(unknown),
            fix=f"Its splits are {listed(known)}",
        )  # fmt: skip
    watch.check(config.tracking)
    planned = train.planned_for(config, jobs)
    _check_unchanged(planned, opened)
    chosen = sorted({*splits}) or config.validation.chosen()
    left = tuple(number for number in chosen if not train.is_finished(planned, number, maps))
    if planned.device.ranks.is_first:
        folder.refuse_running(maps, left)
    if jobs.submit is not None:
        split_jobs.check(jobs, planned, left)
    elif [*repeat.changes_of_machine(opened.record, planned.device)]:
        logger.warning("the versions or the device changed: the bits may differ from a single run")
    return Resumption(opened, planned, left)


def run(found: Resumption, *, observers: Sequence[Observer] = ()) -> None:
    """Go on in this process, as `ready` found it possible."""
    train.train_splits(found.planned, found.maps.path, found.splits, observers)


def submit(found: Resumption, jobs: JobsConfig) -> Jobs:
    """Submit a job for each split that is left, as `ready` found it possible."""
    return split_jobs.submit(jobs, found.planned, found.maps.path, found.splits)


def _check_unchanged(planned: Plan, opened: Maps) -> None:
    record = opened.record
    changed = [path for path, digest in record.tables.items() if planned.tables.get(path) != digest]
    if changed:
        raise CannotResumeError(
            "A file changed since the training began", where=listed(changed),
            fix="Put it back as it was, or train a new MAPS",
        )  # fmt: skip
    before, now = (
        table.to_numpy().tolist()
        for table in (folder.read_seen(opened.path), train.everybody_seen(planned))
    )
    same_images = before == now
    if not same_images or record.input_shape != planned.input_shape:
        raise CannotResumeError(
            "The images changed since the training began", where=planned.config.data.caps_directory,
            fix="Put them back as they were, or train a new MAPS",
        )  # fmt: skip
