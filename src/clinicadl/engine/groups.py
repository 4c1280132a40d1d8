"""Trained models that look at a data group, behind the guard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from torch import nn

from clinicadl.config.compute import ComputeConfig
from clinicadl.config.groups import GroupConfig
from clinicadl.engine import one_image, plan, rescans
from clinicadl.engine.devices import Device, resolve
from clinicadl.engine.stored import Stored, prepared
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.guard.facts import Defined, Purpose, Seen
from clinicadl.layouts import caps, files, search
from clinicadl.layouts.maps import folder, ledger, names, pruned, seals, signatures
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.layouts.maps.ledger import Entry, Event
from clinicadl.layouts.maps.signatures import SeenSignatures
from clinicadl.networks import weights
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, Member, members
from clinicadl.tasks.base import Task
from clinicadl.transforms.pipeline import output_shape

THIS_MAPS = "this MAPS"
"""How sentences call the MAPS that is looked at, among those its first weights come from."""


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
    """None where the group is sealed."""
    task: Task
    device: Device
    purpose: Purpose


def opened(
    config: GroupConfig,
    maps: Path,
    name: str,
    *,
    label: tuple[str, ...] = (),
    needs_labels: bool = False,
    purpose: Purpose = "evaluate",
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
    purpose
        What it is looked at for.

    Raises
    ------
    UsageError
        The group exists and a table was given, or the reverse; or the name cannot be one.
    LeakageError
        The models were fitted or chosen on the group, or it is sealed.
    MissingInputError
        A model, table or column is absent.
    """
    found = _whole(maps)
    folder.check_group_name(name)
    check.evaluation(name, (), seen=(), hashes={}).enforce(None)
    is_new = config.overwrite or not folder.has_group(maps, name)
    cohorts = _cohorts(config, found) if is_new and not config.image else ()
    if not is_new:
        group = _old_group(config, found, name, purpose)
    elif config.image:
        group = one_image.defined(config, found)
    else:
        wanted = _Labels(label or found.record.config.task.labels, needs_labels)
        group = _new_group(config, found, cohorts, wanted)
    _refuse_sealed(config, maps, name, group, purpose)
    return Look(
        config=config,
        maps=found,
        name=name,
        group=group,
        is_new=is_new,
        tables=tuple(path for one in cohorts for path in _tables(one.tables)),
        models=() if purpose == "seal" else _models(config, maps),
        task=found.record.config.task.build(found.record.label_code),
        device=_device(config),
        purpose=purpose,
    )


def _whole(maps: Path) -> Maps:
    """Return a MAPS whose training was not ended early by a search."""
    pruned.refuse(maps)
    return folder.open_maps(maps)


def _device(config: GroupConfig) -> Device:
    """Return where the models compute.

    Raises
    ------
    UsageError
        Several processes were started.
    """
    device = resolve(ComputeConfig(gpu=config.gpu, amp=config.amp))
    if device.ranks.world > 1:
        raise UsageError(
            "Trained models look at a data group in one process",
            found=f"{device.ranks.world} processes", fix="Start it without torchrun or srun",
        )  # fmt: skip
    return device


def _refuse_sealed(
    config: GroupConfig, maps: Path, name: str, group: Group, purpose: Purpose
) -> None:
    """Refuse a look at what is sealed, before anything else is said of it.

    Raises
    ------
    UsageError
        What is to be unsealed is not sealed.
    LeakageError
        Nobody may look.
    """
    known = _defined(maps)
    if purpose == "unseal" and not any(one.group == name and one.is_sealed for one in known):
        raise UsageError(
            "The data group is not sealed", where=f"groups/{name}", fix="Leave out --unseal"
        )
    keys = sessions.sessions_of(group.table)
    verdict = check.evaluation(name, keys, seen=(), hashes={}, defined=known, purpose=purpose)
    verdict.enforce(config.accept_leakage)


def _defined(maps: Path) -> list[Defined]:
    """Return the data groups of users, for the guard; those of other trials of a search as well."""
    own = [
        Defined(one.name, sessions.sessions_of(one.table), one.is_sealed, one.unsealed, one.n_looks)
        for one in seals.states(maps)
    ]
    return own + [found for trial in search.siblings(maps) for found in _looked_at(trial)]


def _looked_at(trial: Path) -> list[Defined]:
    """Return the data groups that another trial of the same search was evaluated on."""
    looks = ledger.read(trial)
    names_of = looks.loc[looks["event"] == ledger.LOOK, "group"]
    return [
        Defined(
            name,
            sessions.sessions_of(folder.read_group(trial, name).table),
            n_looks=int((names_of == name).sum()),
            by=trial.name,
        )
        for name in dict.fromkeys(names_of)
        if folder.has_group(trial, name)
    ]


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
    if stored.signatures:
        return stored
    return replace(stored, signatures=rescans.signatures_of(stored))


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
        seen=seen_by(look.maps.path),
        hashes=stored.hashes,
        edits=plan.edits(look.tables),
        defined=_defined(look.maps.path),
        purpose=look.purpose,
        signatures=stored.signatures,
    ).enforce(look.config.accept_leakage)
    picture = names.group_pairs(names.group(look.maps.path, look.name))
    drawn = tuple(rescans.with_picture(one, picture) for one in verdict.findings)
    plan.announce(replace(verdict, findings=drawn))
    return replace(verdict, findings=drawn)


def enter(look: Look, stored: Stored, verdict: Verdict, *, reason: str | None = None) -> None:
    """Define the group if it is new, and enter the look in the ledger; for who holds the MAPS.

    Parameters
    ----------
    look
        The look, or the sealing.
    stored
        The images.
    verdict
        Of the guard.
    reason
        Why a sealed group is unsealed.
    """
    path, group = look.maps.path, look.group
    if look.is_new:
        known = folder.with_hashes(group, stored.hashes)
        origin = seals.sealed(known.origin) if look.purpose == "seal" else known.origin
        folder.write_group(
            path, look.name, group.table, origin,
            overwrite=look.config.overwrite, shown=stored.signatures,
        )  # fmt: skip
    _draw(look, stored, verdict)
    entry = Entry(
        look.name,
        n_participants=group.table[sessions.PARTICIPANT].nunique(),
        n_sessions=len(group.table),
        models=" ".join(f"split-{model.split}/best-{model.metric}" for model in look.models),
        table_sha256=files.sha256(names.group_table(names.group(path, look.name))),
        accepted_leakage=verdict.accepted,
    )
    if look.purpose == "unseal":
        ledger.append(path, entry._replace(models="", event=ledger.UNSEAL, reason=reason))
    events: dict[Purpose, Event] = {"seal": ledger.SEAL, "interpret": ledger.INTERPRETATION}
    ledger.append(path, entry._replace(event=events.get(look.purpose, ledger.LOOK)))


def _draw(look: Look, stored: Stored, verdict: Verdict) -> None:
    """Draw the images of the group that show a head known otherwise, beside that one."""
    if not any(finding.pairs for finding in verdict.findings):
        return
    seen = {key: one for some in seen_by(look.maps.path) for key, one in some.signatures.items()}
    with one_image.at_hand(look.maps, look.group, stored):
        rescans.draw(
            verdict.findings,
            names.group_pairs(names.group(look.maps.path, look.name)),
            [rescans.images_of(stored), rescans.seen_images(look.maps), rescans.shown_by(seen)],
        )


def _old_group(config: GroupConfig, maps: Maps, name: str, purpose: Purpose) -> Group:
    given = [
        flag
        for flag, value in {
            "--caps_directory": config.caps_directory,
            "--participants_tsv": config.participants_tsv,
            "--diagnoses": config.diagnoses,
            "--multi_cohort": config.multi_cohort or None,
            "--image": config.image or None,
            "--seal": purpose == "seal" or None,
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
            fix="Give --caps_directory and --participants_tsv, or an --image",
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
    if folder.images_of(group):
        stored = one_image.stored_of(maps, group)
    else:
        stored = prepared(places, one_image.extractions_of(maps), group.table)
    shape = output_shape(record.config.transforms, stored.shape)
    if shape != record.input_shape:
        raise InvalidDataError(
            "The images of the group have another shape than those of training",
            where=listed(places.values() or folder.images_of(group)),
            found=f"{shape}, trained on {record.input_shape}",
            fix="Prepare the same preprocessing on the same grid",
        )  # fmt: skip
    return stored


def seen_by(maps: Path) -> list[Seen]:
    """Return what each model of a MAPS saw, with what the images show of heads.

    Raises
    ------
    InvalidDataError
        The signatures are damaged.
    """
    return seen_of(folder.read_seen(maps), signatures.read(names.seen_signatures(maps)))


def seen_of(table: pd.DataFrame, shown: SeenSignatures | None = None) -> list[Seen]:
    """Return what each model saw: that of a MAPS, and those that its first weights come from.

    Parameters
    ----------
    table
        As `clinicadl.layouts.maps.names.seen` holds it; a hash that is not known is empty.
    shown
        As `clinicadl.layouts.maps.names.seen_signatures` holds it.
    """
    known = shown or {}
    return [
        Seen(
            str(who) or THIS_MAPS,
            tuple(sessions.sessions_of(rows)),
            dict(zip(rows["image_sha256"], sessions.sessions_of(rows), strict=True)),
            known.get(str(who), {}),
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
