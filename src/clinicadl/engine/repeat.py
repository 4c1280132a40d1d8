"""A new training from the record of another."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinicadl.config.jobs import HERE, JobsConfig
from clinicadl.config.published import extraction
from clinicadl.config.read import experiment
from clinicadl.engine import train
from clinicadl.engine.devices import Device
from clinicadl.engine.events import Observer
from clinicadl.engine.plan import Plan
from clinicadl.errors import listed
from clinicadl.layouts import caps
from clinicadl.layouts.maps import folder, moved, names, published
from clinicadl.layouts.maps import record as records
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Record

logger = logging.getLogger(__name__)


def train_from(
    source: Path,
    maps: Path,
    *,
    splits: Sequence[int] = (),
    jobs: JobsConfig = HERE,
    observers: Sequence[Observer] = (),
) -> Maps:
    """Train the experiment of another MAPS anew; on one machine, to the same bits.

    Parameters
    ----------
    source
        A MAPS of this release or of releases 1.x, or a JSON file that describes an experiment, such
        as the record of one.
    maps
        The MAPS to be; absent or an empty folder.
    splits
        Splits that are trained; those of the experiment by default.
    jobs
        Whether each split is a job of its own; as in `clinicadl.train`.
    observers
        Told of everything that happens in this process.

    Returns
    -------
    The new MAPS.

    Raises
    ------
    MissingInputError
        There is no such MAPS or file, or what the experiment reads is not there any more.
    InvalidDataError
        The experiment cannot be read, or asks for what we cannot do.
    OutputError
        There is something at ``maps``.
    LeakageError
        A split leaks.
    """
    planned = ready(source, maps, splits=splits, jobs=jobs)
    return train.carry_out(planned, maps, jobs=jobs, observers=observers)


def ready(source: Path, maps: Path, *, splits: Sequence[int] = (), jobs: JobsConfig = HERE) -> Plan:
    """Return the plan of such a training; warn of what is not as it was."""
    given: Mapping[str, Any] = {"validation": {"split": tuple(splits)}} if splits else {}
    if not source.is_dir():
        return train.ready(experiment(given, file=source), maps, jobs=jobs)
    is_old = published.is_one(source)
    since = None if is_old else moved.read(source)
    given = {**(since.config if since else {}), **given}
    planned = train.ready(experiment(given, file=names.record(source)), maps, jobs=jobs)
    changes = _from_1(source, planned) if is_old else _all_changes(source, planned, jobs)
    for change in changes:
        logger.warning("the new MAPS will not be the same: %s", change)
    return planned


def _all_changes(source: Path, planned: Plan, jobs: JobsConfig) -> Iterator[str]:
    """Yield what is not as it was, of all that the bits depend on."""
    record = records.read(source)
    yield from changes_of_data(source, record, planned)
    # Jobs of Slurm compute elsewhere, and say so themselves.
    if record.imported is None and jobs.submit != "slurm":
        yield from changes_of_machine(record, planned.device)


def changes_of_data(source: Path, record: Record, planned: Plan) -> Iterator[str]:
    """Yield what is not as it was, of all that the training read."""
    changed = [path for path, digest in record.tables.items() if planned.tables.get(path) != digest]
    if changed:
        yield f"tables have changed, or are not read any more: {listed(changed)}"
    if record.imported is not None:
        return
    if record.extractions != tuple(one.content for one in planned.extractions):
        yield f"the extraction JSON has changed: {_extractions(planned)}"
    before, now = folder.read_seen(source), train.everybody_seen(planned, record)
    if before.to_numpy().tolist() != now.to_numpy().tolist():
        yield "the images are others"


def changes_of_machine(record: Record, device: Device) -> Iterator[str]:
    """Yield what is not as it was, of all that computed: then the bits may be others."""
    # Who submits jobs of Slurm does not know the name of the GPU that they will get.
    on = {name: value for name, value in device.to_record().items() if name in record.resolved}
    if record.resolved != on:
        yield f"the device is {_differing(on, record.resolved)}"
    now = records.generated_by()
    if record.generated_by != now:
        yield f"the versions of the packages are others: {_differing(now, record.generated_by)}"


def _differing(now: Mapping[str, object], before: Mapping[str, object]) -> str:
    return listed(
        f"{name} {now.get(name)}, and was {before.get(name)}"
        for name in {**now, **before}
        if now.get(name) != before.get(name)
    )


def _from_1(source: Path, planned: Plan) -> Iterator[str]:
    """Yield what is known to be another than in a training of releases 1.x."""
    content = extraction(published.open_published(source).settings)
    before, now = caps.parse_extraction(content, names.record(source)), planned.extractions[0]
    is_same = before.preprocessing == now.preprocessing
    if not is_same or caps.mode_settings(before) != caps.mode_settings(now):
        yield f"the extraction JSON has changed: {_extractions(planned)}"


def _extractions(planned: Plan) -> str:
    return listed(one.path for one in planned.extractions)
