"""Trained models that look at a data group, behind the guard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from torch import nn

from clinicadl.config.compute import ComputeConfig
from clinicadl.config.groups import GroupConfig
from clinicadl.engine import plan
from clinicadl.engine.devices import Device, resolve
from clinicadl.engine.stored import Stored, prepared
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.guard.rules import Seen
from clinicadl.layouts import caps, files
from clinicadl.layouts.maps import folder, ledger, names
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.networks import weights
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, Member, members
from clinicadl.tasks.base import Task
from clinicadl.transforms.pipeline import output_shape


class Model(NamedTuple):
    """A trained model of a MAPS: the best one of a split by a metric."""

    split: int
    metric: str


class _Labels(NamedTuple):
    columns: tuple[str, ...]
    are_needed: bool


@dataclass(frozen=True)
class Look:
    """A data group, and the trained models that shall look at it; the guard comes next."""

    config: GroupConfig
    maps: Maps
    name: str
    group: Group
    is_new: bool
    tables: tuple[Path, ...]
    """Those that a new group is read from."""
    models: tuple[Model, ...]
    task: Task
    device: Device


def opened(
    config: GroupConfig,
    maps: Path,
    name: str,
    *,
    label: tuple[str, ...] = (),
    needs_labels: bool = False,
) -> Look:
    """Return a look at a data group whose images are not known yet; nothing is written.

    Parameters
    ----------
    config
        The group, and which models look at it.
    maps
        The MAPS.
    name
        Of the group.
    label
        Columns of the table of a new group that hold what was learnt; none: those of training.
    needs_labels
        Whether the table must have them; they are kept in any case.

    Raises
    ------
    UsageError
        The group exists and a table was given, or the reverse; or the name cannot be one.
    LeakageError
        The models were fitted or chosen on the group.
    MissingInputError
        A model, table or column is absent.
    """
    device = resolve(ComputeConfig(gpu=config.gpu, amp=config.amp))
    if device.ranks.world > 1:
        raise UsageError(
            "Trained models look at a data group in one process",
            found=f"{device.ranks.world} processes", fix="Start it without torchrun or srun",
        )  # fmt: skip
    found = folder.open_maps(maps)
    folder.check_group_name(name)
    check.evaluation(name, (), seen=(), hashes={}).enforce(None)
    is_new = config.overwrite or not folder.has_group(maps, name)
    cohorts = _cohorts(config, found) if is_new else ()
    wanted = _Labels(label or found.record.config.task.labels, needs_labels)
    group = (
        _new_group(config, found, cohorts, wanted) if is_new else _old_group(config, found, name)
    )
    return Look(
        config=config,
        maps=found,
        name=name,
        group=group,
        is_new=is_new,
        tables=tuple(path for one in cohorts for path in _tables(one.tables)),
        models=_models(config, maps),
        task=found.record.config.task.build(found.record.label_code),
        device=device,
    )


def images_of(look: Look) -> Stored:
    """Return the images of the group, which must be those that it was defined with.

    Raises
    ------
    MissingInputError
        An image or tensor is gone.
    InvalidDataError
        An image changed, or has another shape than those of training.
    """
    stored = stored_of(look.maps, look.group)
    _refuse_other_images(look.group, stored, look.name)
    return stored


def guarded(look: Look, stored: Stored) -> Verdict:
    """Return what the guard says of the look, where it allows it.

    Raises
    ------
    LeakageError
        The models have seen participants of the group.
    """
    verdict = check.evaluation(
        look.name,
        sessions.sessions_of(look.group.table),
        seen=seen_of(folder.read_seen(look.maps.path)),
        hashes={key: found.sha256 for key, found in stored.origins.items()},
        edits=plan.edits(look.tables),
    ).enforce(look.config.accept_leakage)
    plan.announce(verdict)
    return verdict


def enter(look: Look, stored: Stored, verdict: Verdict) -> None:
    """Define the group if it is new, and enter the look in the ledger; for who holds the MAPS."""
    path, group = look.maps.path, look.group
    if look.is_new:
        origins = stored.origins.items()
        known = folder.with_hashes(group, {key: found.sha256 for key, found in origins})
        folder.write_group(
            path, look.name, group.table, known.origin, overwrite=look.config.overwrite
        )
    ledger.look(
        path,
        look.name,
        n_participants=group.table[sessions.PARTICIPANT].nunique(),
        n_sessions=len(group.table),
        models=" ".join(f"split-{model.split}/best-{model.metric}" for model in look.models),
        table_sha256=files.sha256(names.group_table(names.group(path, look.name))),
        accepted=verdict.accepted,
    )


def _old_group(config: GroupConfig, maps: Maps, name: str) -> Group:
    given = [
        flag
        for flag, value in {
            "--caps_directory": config.caps_directory,
            "--participants_tsv": config.participants_tsv,
            "--diagnoses": config.diagnoses,
            "--multi_cohort": config.multi_cohort or None,
        }.items()
        if value is not None
    ]
    if given:
        raise UsageError(
            "The data group is defined already, so its images and table are known",
            where=f"groups/{name}", found=listed(given),
            fix="Leave these options out, choose another name, or add --overwrite",
        )  # fmt: skip
    return folder.read_group(maps.path, name)


def _cohorts(config: GroupConfig, maps: Maps) -> tuple[Member, ...]:
    if config.caps_directory is None or config.participants_tsv is None:
        raise UsageError(
            "A new data group needs its images and its table",
            fix="Give --caps_directory and --participants_tsv",
        )
    return members(
        config.caps_directory,
        config.participants_tsv,
        is_multi=config.multi_cohort,
        diagnoses=config.diagnoses or maps.record.config.data.diagnoses,
    )


def _new_group(
    config: GroupConfig, maps: Maps, cohorts: tuple[Member, ...], labels: _Labels
) -> Group:
    for one in cohorts:
        caps.check(one.caps)
    tables = [_rows(one, path, labels) for one in cohorts for path in _tables(one.tables)]
    places = {one.name: one.caps for one in cohorts}
    origin = folder.group_origin(
        Path(str(config.caps_directory)), places, is_multi=config.multi_cohort
    )
    given = Path(str(config.participants_tsv)).absolute()
    return Group(pd.concat(tables, ignore_index=True), origin | {"participants_tsv": str(given)})


def _tables(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    found = sorted(given.glob("*_baseline.tsv"))
    if not found:
        raise MissingInputError(
            "The folder holds no *_baseline.tsv", where=given, fix="Give a table"
        )
    return found


def _rows(cohort: Member, path: Path, labels: _Labels) -> pd.DataFrame:
    table = sessions.read(path)
    if labels.are_needed:
        table = sessions.with_columns(table, path, labels.columns)
    if cohort.diagnoses is not None and sessions.DIAGNOSIS not in table.columns:
        table = sessions.with_columns(table, path, [sessions.DIAGNOSIS])
    table = sessions.keep_diagnoses(table, cohort.diagnoses, where=path)
    columns = [sessions.PARTICIPANT, sessions.SESSION, COHORT]
    table = table.assign(**{COHORT: cohort.name})
    there = [label for label in labels.columns if label in table.columns]
    return table[[*dict.fromkeys((*columns, *there))]].reset_index(drop=True)


def trained(maps: Path) -> list[Model]:
    """Return the models of a MAPS whose training has come to its end."""
    return [
        Model(split, metric)
        for split in names.split_numbers(maps)
        for metric in names.selection_metrics(maps, split)
        if not folder.is_unfinished(maps, split)
    ]


def _models(config: GroupConfig, maps: Path) -> tuple[Model, ...]:
    known = trained(maps)
    chosen = [
        model
        for model in known
        if (not config.split or model.split in config.split)
        and (not config.selection_metrics or model.metric in config.selection_metrics)
    ]
    missing = [number for number in config.split if number not in {m.split for m in chosen}]
    unknown = [
        metric
        for metric in config.selection_metrics
        if metric not in {model.metric for model in chosen}
    ]
    if missing or unknown or not chosen:
        raise MissingInputError(
            "There is no such trained model", where=maps,
            found=listed([*(f"split {number}" for number in missing), *unknown]) or "none at all",
            fix=f"Trained: {listed(f'split {m.split} by {m.metric}' for m in known) or 'none'}",
        )  # fmt: skip
    return tuple(chosen)


def _refuse_other_images(group: Group, stored: Stored, name: str) -> None:
    """Refuse a group whose images changed: results of one name are about the same images.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    known = folder.image_hashes(group)
    odd = [key for key, digest in known.items() if stored.origins[key].sha256 != digest]
    if odd:
        raise InvalidDataError(
            f"{len(odd)} images changed since the data group was defined", where=f"groups/{name}",
            found=listed(" | ".join(key) for key in odd),
            fix="Put them back, choose another name, or define the group anew with --overwrite",
        )  # fmt: skip


def stored_of(maps: Maps, group: Group) -> Stored:
    """Return the images of a data group, as the models of a MAPS take them.

    Raises
    ------
    MissingInputError
        An image or tensor is gone.
    InvalidDataError
        A tensor does not belong to its image any more, or its shape is another.
    """
    record, places = maps.record, folder.caps_of(group)
    where = names.record(maps.path)
    extractions = [caps.parse_extraction(content, where) for content in record.extractions]
    stored = prepared(places, extractions, group.table)
    shape = output_shape(record.config.transforms, stored.shape)
    if shape != record.input_shape:
        raise InvalidDataError(
            "The images of the group have another shape than those of training",
            where=listed(places.values()), found=f"{shape}, trained on {record.input_shape}",
            fix="Prepare the same preprocessing on the same grid",
        )  # fmt: skip
    return stored


def seen_of(table: pd.DataFrame) -> list[Seen]:
    """Return what each model saw: that of a MAPS, and those that its first weights come from.

    Parameters
    ----------
    table
        As `clinicadl.layouts.maps.names.seen` holds it; a hash that is not known is empty.
    """
    return [
        Seen(
            str(who) or "this MAPS",
            tuple(sessions.sessions_of(rows)),
            dict(zip(rows["image_sha256"], sessions.sessions_of(rows), strict=True)),
        )
        for who, rows in table.groupby("seen_by", sort=True)
    ]


def networks_of(look: Look, stored: Stored, model: Model) -> dict[int | None, nn.Module]:
    """Return the networks of a trained model, with their weights, on the device.

    Raises
    ------
    MissingInputError
        A part has no network.
    """
    record, maps = look.maps.record, look.maps.path
    parts = range(len(stored.parts))
    numbers: list[int | None] = [*parts] if record.config.multi_network else [None]
    networks: dict[int | None, nn.Module] = {}
    for number in numbers:
        network = record.config.network.build(record.input_shape, look.task.n_outputs)
        network.load_state_dict(weights.read(names.weights(maps, *model, number)).state)
        networks[number] = look.device.put_network(network)
    return networks
