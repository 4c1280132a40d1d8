"""Go on with a training that was interrupted, or some of whose splits are not trained yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from clinicadl.config import places as config_places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.places import Places
from clinicadl.engine import repeat, split_jobs, train, watch
from clinicadl.engine.events import Judge, Observer
from clinicadl.engine.plan import Plan
from clinicadl.errors import CannotResumeError, MissingInputError, UsageError, listed
from clinicadl.jobs import Jobs
from clinicadl.layouts.maps import folder, names, pruned
from clinicadl.layouts.maps import moved as moves
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.moved import Moved
from clinicadl.layouts.maps.record import sealed, with_places

logger = logging.getLogger(__name__)


class Resumption(NamedTuple):
    """A training that can go on."""

    maps: Maps
    planned: Plan
    splits: tuple[int, ...]
    """Those that were asked for and are not trained to their end."""
    moved: Moved | None
    """Where the data lie now, if that is another place than before."""


def resume(
    maps: Path,
    *,
    splits: Sequence[int] = (),
    places: Places = MappingProxyType({}),
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
    places
        Section -> setting -> where that lies now which was moved since the training began:
        ``{"data": {"caps_directory": ...}}``. The MAPS takes note of it, for all that comes later.
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
        There is no such split, or no such place.
    MissingInputError
        The images or tables are not where they were.
    OutputError
        The MAPS cannot be written, or another process trains one of the splits.
    CannotResumeError
        The tables, the images or the labels are not those that the training began with.
    ClinicaDLError
        Jobs of this machine failed; of the kind of the first one's exit code.
    """
    found = ready(maps, splits=splits, places=places, jobs=jobs)
    if jobs.submit is None:
        run(found, observers=observers)
    elif found.splits:
        submitted = submit(found, jobs)
        if jobs.submit == "local":
            for _ in split_jobs.finish(submitted, maps, found.splits):
                pass
    return found.maps


def ready(
    maps: Path,
    *,
    splits: Sequence[int] = (),
    places: Places = MappingProxyType({}),
    jobs: JobsConfig = HERE,
) -> Resumption:
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
    if places:
        config = config_places.moved(config, places)
    folder.refuse_read_only(maps)
    known = range(max(config.validation.n_splits, 1))
    unknown = [number for number in splits if number not in known]
    if unknown:
        raise UsageError(
            "The experiment has no such split", where="--split", found=listed(unknown),
            fix=f"Its splits are {listed(known)}",
        )  # fmt: skip
    watch.check(config.tracking)
    planned = _planned(config, jobs, maps)
    moved = None if config == opened.record.config else _moved(planned, opened)
    if moved is not None:
        opened = Maps(maps, with_places(sealed(maps), moved))
        _check_split(planned, opened)
    _check_unchanged(planned, opened)
    chosen = sorted({*splits}) or config.validation.chosen()
    left = tuple(number for number in chosen if not train.is_finished(planned, number, maps))
    if planned.device.ranks.is_first:
        folder.refuse_running(maps, left)
    if jobs.submit is not None:
        split_jobs.check(jobs, planned, left)
    elif [*repeat.changes_of_machine(opened.record, planned.device)]:
        logger.warning("the versions or the device changed: the bits may differ from a single run")
    return Resumption(opened, planned, left, moved)


def run(
    found: Resumption, *, observers: Sequence[Observer] = (), judge: Judge | None = None
) -> None:
    """Go on in this process, as `ready` found it possible.

    Raises
    ------
    Stopped
        The judge ended the training.
    """
    _take_note(found)
    train.train_splits(found.planned, found.maps.path, found.splits, observers, judge=judge)


def submit(found: Resumption, jobs: JobsConfig) -> Jobs:
    """Submit a job for each split that is left, as `ready` found it possible."""
    _take_note(found)
    return split_jobs.submit(jobs, found.planned, found.maps.path, found.splits)


def _take_note(found: Resumption) -> None:
    if found.planned.device.ranks.is_first:
        pruned.remove(found.maps.path)
    if found.moved is not None and found.planned.device.ranks.is_first:
        with folder.shared(found.maps.path):
            moves.write(found.maps.path, found.moved)


def _planned(config: ExperimentConfig, jobs: JobsConfig, maps: Path) -> Plan:
    """Return the plan.

    Raises
    ------
    MissingInputError
        Something is not where it was; it is said how to go on where it is now.
    """
    try:
        return train.planned_for(config, jobs)
    except MissingInputError as error:
        fix = f"{error.fix.rstrip('.')}. " if error.fix else ""
        flags = " ".join(f"--{name} PATH" for name in config_places.paths(config))
        raise MissingInputError(
            error.what, where=error.where, found=error.found,
            fix=f"{fix}If something was moved, say where it is: clinicadl train resume {maps} "
            f"{flags}",
        ) from error  # fmt: skip


def _moved(planned: Plan, opened: Maps) -> Moved:
    """Return where the data lie now, for a MAPS that may have been moved before."""
    record, earlier = sealed(opened.path), moves.read(opened.path)
    config = planned.config
    tables: dict[str, str | None] = {
        path: _counterpart(path, digest, planned.tables) for path, digest in record.tables.items()
    }
    if config.data.multi_cohort:
        # A table of cohorts names places: that of a moved experiment names others.
        for name in ("caps_directory", "tsv_directory"):
            before, now = (getattr(one.data, name) for one in (record.config, config))
            if before != now:
                tables[str(before)] = None
    group = folder.read_group(opened.path, names.TRAIN, planned.splits[0].number)
    there = {one.name: str(one.caps) for one in planned.cohorts}
    step = {
        str(path): there[cohort]
        for cohort, path in folder.caps_of(group).items()
        if cohort in there
    }
    older = {} if earlier is None else earlier.caps
    return Moved(
        config={
            section: {name: _written(place) for name, place in found.items()}
            for section, found in config_places.of(config).items()
        },
        tables=tables,
        caps={path: step.get(now, now) for path, now in older.items()} | step,
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _written(place: Path | str | tuple[str, ...]) -> str | list[str]:
    return [*place] if isinstance(place, tuple) else str(place)


def _counterpart(path: str, digest: str, now: Mapping[str, str]) -> str:
    """Return the file that took the place of one: of those that hold the same, or else of all.

    It is the one whose path ends most alike.
    """

    def likeness(other: str) -> tuple[bool, int]:
        pairs = zip(reversed(Path(path).parts), reversed(Path(other).parts), strict=False)
        same = takewhile(lambda pair: pair[0] == pair[1], pairs)
        return now[other] == digest, len([*same])

    return max(now, key=likeness)


def _check_split(planned: Plan, opened: Maps) -> None:
    """Refuse data in another place that are not those that were moved.

    Raises
    ------
    CannotResumeError
        Other rows would be trained on, or first weights come from another MAPS.
    """
    for one in planned.splits:
        for name, table in ((names.TRAIN, one.train), (names.VALIDATION, one.validation)):
            if not folder.is_same_group(opened.path, name, one.number, table):
                raise CannotResumeError(
                    f"The tables give others to {name} of split {one.number} than the training "
                    "began with", where=planned.config.data.tsv_directory,
                    fix="Give the folder that was moved, or train a new MAPS",
                )  # fmt: skip
    before, now = (
        [one.model_copy(update={"path": ""}) for one in parents]
        for parents in (opened.record.parents, planned.parents)
    )
    if before != now:
        raise CannotResumeError(
            "This is not the MAPS that the first weights came from",
            where=planned.config.transfer.transfer_path,
            fix="Give the one that was moved, or train a new MAPS",
        )  # fmt: skip


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
        for table in (folder.read_seen(opened.path), train.everybody_seen(planned, record))
    )
    same_images = before == now
    if not same_images or record.input_shape != planned.input_shape:
        raise CannotResumeError(
            "The images changed since the training began", where=planned.config.data.caps_directory,
            fix="Put them back as they were, or train a new MAPS",
        )  # fmt: skip
