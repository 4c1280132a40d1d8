"""Train the networks of an experiment, and go on where it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import pandas as pd

from clinicadl.config import plugins
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.data.batches import readers_watched
from clinicadl.engine import need, watch
from clinicadl.engine.devices import deterministic, memory
from clinicadl.engine.events import Observer, SplitInterrupted
from clinicadl.engine.one_split import layers, train_split
from clinicadl.engine.plan import Plan, announce, plan
from clinicadl.errors import CannotResumeError, UsageError, listed
from clinicadl.layouts import files
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Record, generated_by
from clinicadl.tables import sessions

logger = logging.getLogger(__name__)


def train(config: ExperimentConfig, maps: Path, *, observers: Sequence[Observer] = ()) -> Maps:
    """Train every split that the experiment names, and write everything into a new MAPS.

    Parameters
    ----------
    config
        The experiment.
    maps
        The MAPS to be; absent or an empty folder.
    observers
        Told of everything that happens.

    Returns
    -------
    The MAPS, with weights, logs, predictions and metrics of train and validation.

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
    """
    return run(ready(config, maps), maps, observers=observers)


def run(planned: Plan, maps: Path, *, observers: Sequence[Observer] = ()) -> Maps:
    """Train as planned by `ready`, and write everything into the new MAPS; else as `train`."""
    ranks = planned.device.ranks
    # All have seen that there is nothing yet.
    ranks.wait()
    if ranks.is_first:
        _create(planned, maps)
    ranks.wait()
    _train_splits(planned, maps, planned.config.validation.chosen(), observers)
    return folder.open_maps(maps)


def _create(planned: Plan, maps: Path) -> None:
    folder.create(
        maps,
        _record(planned),
        seen=everybody_seen(planned),
        groups=_groups(planned),
        origin=folder.group_origin(
            planned.config.data.caps_directory,
            {one.name: one.caps for one in planned.cohorts},
            is_multi=planned.config.data.multi_cohort,
        ),
        layers=layers(planned),
    )


def ready(config: ExperimentConfig, maps: Path) -> Plan:
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
        The training does not fit into the memory.
    """
    watch.check(config.tracking)
    files.refuse_existing(maps)
    files.refuse_unwritable(maps)
    planned = plan(_absolute(config))
    announce(planned.verdict.enforce(None))
    need.check(planned.needed, planned.config, planned.device)
    return planned


def _absolute(config: ExperimentConfig) -> ExperimentConfig:
    """Return the experiment with whole paths, so that it can be resumed from any folder."""
    data, transfer, network = config.data, config.transfer, config.network
    paths = {name: value for name, value in network if isinstance(value, Path)}
    return config.model_copy(
        update={
            "network": network.model_copy(
                update={name: path.absolute() for name, path in paths.items()}
            ),
            "data": data.model_copy(
                update={
                    "caps_directory": data.caps_directory.absolute(),
                    "tsv_directory": data.tsv_directory.absolute(),
                    "preprocessing_json": _whole(data.preprocessing_json),
                    "channels": tuple(map(_whole, data.channels)),
                }
            ),
            "transfer": transfer.model_copy(
                update={
                    "transfer_path": transfer.transfer_path and transfer.transfer_path.absolute()
                }
            ),
        }
    )


def _whole(extraction: str) -> str:
    """Return an extraction JSON with its whole path, or its name if it is one in a CAPS."""
    path = Path(extraction)
    return str(path.absolute()) if path.is_file() else extraction


def resume(maps: Path, *, splits: Sequence[int] = (), observers: Sequence[Observer] = ()) -> Maps:
    """Go on with an interrupted training, to the same bits as without the interruption.

    Parameters
    ----------
    maps
        A MAPS whose training was interrupted, or some of whose splits were not trained yet.
    splits
        Splits to go on with; those of the experiment by default.
    observers
        Told of everything that happens.

    Returns
    -------
    The MAPS.

    Raises
    ------
    UsageError
        There is no such split.
    OutputError
        The MAPS cannot be written, or another process writes to it.
    CannotResumeError
        The tables, the images or the labels are not those that the training began with.
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
    planned = plan(config)
    announce(planned.verdict.enforce(None))
    _check_unchanged(planned, opened)
    _train_splits(planned, maps, splits or config.validation.chosen(), observers)
    return opened


def _record(planned: Plan) -> Record:
    return Record(
        config=planned.config,
        extractions=tuple(one.content for one in planned.extractions),
        label_code=planned.codes,
        input_shape=planned.input_shape,
        resolved=planned.device.to_record(),
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


def everybody_seen(planned: Plan) -> pd.DataFrame:
    """Return the union of what all splits see and of what all ancestors saw."""
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    tables = [table[ids] for one in planned.splits for table in (one.train, one.validation)]
    own = pd.concat(tables).drop_duplicates().sort_values(ids)
    hashes = [planned.stored.origins[key].sha256 for key in sessions.sessions_of(own)]
    seen = [own.assign(image_sha256=hashes, seen_by="")]
    source = planned.config.transfer.transfer_path
    if source is not None:
        theirs = folder.read_seen(source)
        who = theirs["seen_by"].where(theirs["seen_by"] != "", str(source.resolve()))
        seen.append(theirs.assign(seen_by=who))
    return pd.concat(seen, ignore_index=True)


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
        for table in (folder.read_seen(opened.path), everybody_seen(planned))
    )
    same_images = before == now
    if not same_images or record.input_shape != planned.input_shape:
        raise CannotResumeError(
            "The images changed since the training began", where=planned.config.data.caps_directory,
            fix="Put them back as they were, or train a new MAPS",
        )  # fmt: skip
    if record.generated_by != generated_by() or record.resolved != planned.device.to_record():
        logger.warning("the versions or the device changed: the bits may differ from a single run")


def _train_splits(
    planned: Plan, maps: Path, chosen: Sequence[int], observers: Sequence[Observer]
) -> None:
    watching = watch.watchers(planned.config, observers)
    config, is_first = planned.config, planned.device.ranks.is_first
    setting = need.check(planned.needed, config, planned.device)
    with (
        folder.held(maps) if is_first else nullcontext(),
        memory(setting, planned.device),
        deterministic(config.reproducibility),
        readers_watched(),
    ):
        for one in planned.splits:
            if one.number not in chosen or _is_finished(planned, one.number, maps):
                continue
            held = folder.training(maps, one.number) if is_first else nullcontext()
            try:
                with held:
                    for event in train_split(planned, one, maps):
                        if is_first:
                            watching.tell(event)
            except BaseException:
                if is_first:
                    watching.tell(SplitInterrupted(one.number))
                raise
    planned.device.ranks.part()


def _is_finished(planned: Plan, split: int, maps: Path) -> bool:
    return not folder.is_unfinished(maps, split) and all(
        folder.has_results(maps, split, metric, name)
        for metric in planned.config.task.selection_metrics
        for name in names.OWN_GROUPS
    )
