"""What trained models said of one data group, and whether that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.compare import CompareConfig
from clinicadl.config.task import Classification, Regression, TaskSettings
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.layouts.maps.folder import Maps
from clinicadl.report.covariates import Covariates, missing_of, read_covariates
from clinicadl.tasks.base import IMAGE, NO_LABEL, TRUE_LABEL
from clinicadl.tasks.judging import Judge, columns_of, judge

_TRAIN_DIFFERS = "Train and validation are not the same participants in all MAPS"


class Said(NamedTuple):
    """What one model said of the images of a data group."""

    name: str
    split: int
    table: pd.DataFrame
    """Sorted by participant and session."""
    train: pd.DataFrame
    """What it said of those that it was fitted on."""


class Planned(NamedTuple):
    """A comparison that can begin."""

    config: CompareConfig
    task: TaskSettings
    n_classes: int
    judge: Judge
    covariates: Covariates | None
    seed: int
    splits: tuple[int, ...]
    said: tuple[Said, ...]
    """Of each MAPS, of each split."""
    same_train: bool
    """Whether all models were fitted on the same participants, split by split."""
    remarks: tuple[str, ...]
    """What a reader of the numbers must know."""
    accepted: str | None
    """Why a refusal of the guard was overridden for some of the results."""


def ready(config: CompareConfig) -> Planned:
    """Return the plan of a comparison that may begin; nothing is written.

    Raises
    ------
    MissingInputError
        A MAPS, or results of the group, are absent.
    UsageError
        The models have learnt something else, or a task whose metrics are not known.
    InvalidDataError
        The participants, sessions or labels of the group are not the same.
    OutputError
        The output exists already, or cannot be written.
    """
    if config.output is not None:
        if not config.overwrite:
            refuse_existing(config.output)
        refuse_unwritable(config.output)
    opened = [folder.open_maps(path) for path in config.maps]
    _refuse_other_tasks(opened)
    names_of = _names_of(opened)
    splits = _splits(config, opened)
    said = tuple(
        Said(
            name,
            split,
            _predictions(config, maps, split, config.group),
            _predictions(config, maps, split, names.TRAIN),
        )
        for (maps, name), split in product(zip(opened, names_of, strict=True), splits)
    )
    record = opened[0].record
    task = record.config.task
    for split in splits:
        of_split = [one for one in said if one.split == split]
        _refuse_other_images(of_split, task, config.group)
    covariates = read_covariates(config, task.labels)
    accepted = _accepted(config, opened, splits)
    same_train = _have_same_train(opened, splits)
    untested = (
        ()
        if same_train or config.group != names.VALIDATION
        else (f"{_TRAIN_DIFFERS}: no test over splits",)
    )
    n_classes = max(record.label_code.values(), default=-1) + 1
    return Planned(
        config=config,
        task=task,
        n_classes=n_classes,
        judge=judge(task, n_classes),
        covariates=covariates,
        seed=record.config.reproducibility.seed,
        splits=splits,
        said=said,
        same_train=same_train,
        remarks=tuple(dict.fromkeys((*_remarks(config, said, accepted, covariates), *untested))),
        accepted="; ".join(sorted(accepted)) or None,
    )


def _accepted(config: CompareConfig, opened: Sequence[Maps], splits: Sequence[int]) -> set[str]:
    """Return the reasons for which refusals of the guard were overridden."""
    found = (
        outcomes.read_verdict(maps.path, split, *_key(config)).accepted
        for maps, split in product(opened, splits)
    )
    return {reason for reason in found if reason is not None}


def _key(config: CompareConfig) -> tuple[str, str]:
    return config.selection_metric, config.group


def _names_of(opened: Sequence[Maps]) -> list[str]:
    """Return what the MAPS are called: their folders, and their paths where that is not enough."""
    short = [maps.path.name for maps in opened]
    return short if len(set(short)) == len(short) else [str(maps.path) for maps in opened]


def _refuse_other_tasks(opened: Sequence[Maps]) -> None:
    first = opened[0].record
    for maps in opened[1:]:
        record = maps.record
        for what, ours, theirs in (
            ("task", first.config.task.kind, record.config.task.kind),
            ("label", listed(first.config.task.labels), listed(record.config.task.labels)),
            ("nodes", _codes(first.label_code), _codes(record.label_code)),
        ):
            if ours != theirs:
                raise UsageError(
                    f"The models have learnt something else: their {what} differ",
                    where=maps.path, found=f"{theirs}, and {ours} in {opened[0].path}",
                    fix="Compare models of the same task",
                )  # fmt: skip


def _codes(codes: dict[str, int]) -> str:
    return listed(f"{label}: {node}" for label, node in sorted(codes.items()))


def _splits(config: CompareConfig, opened: Sequence[Maps]) -> tuple[int, ...]:
    metric, group = _key(config)
    there = [
        {
            split
            for split in names.split_numbers(maps.path)
            if outcomes.has_results(maps.path, split, metric, group)
        }
        for maps in opened
    ]
    for maps, found in zip(opened, there, strict=True):
        missing = sorted({*config.split} - found)
        if missing or not found:
            known = [f"split-{split} by {by}: "
                     f"{listed(outcomes.judged_groups(maps.path, split, by))}"
                     for split in names.split_numbers(maps.path)
                     for by in names.selection_metrics(maps.path, split)]  # fmt: skip
            raise MissingInputError(
                f"There are no results of the data group {group} of models best by {metric}",
                where=maps.path, found=f"split {listed(missing)}" if missing else "of no split",
                fix=f"Make them with: clinicadl predict. There are {listed(known) or 'none'}",
            )  # fmt: skip
    shared = set.intersection(*there)
    if not shared:
        raise MissingInputError(
            "The MAPS have no split in common with results of the data group", found=group,
            fix="Make them with: clinicadl predict",
        )  # fmt: skip
    return tuple(sorted(config.split or shared))


def _predictions(config: CompareConfig, maps: Maps, split: int, group: str) -> pd.DataFrame:
    table = outcomes.read_predictions(maps.path, split, config.selection_metric, group, IMAGE)
    return table.sort_values([PARTICIPANT, SESSION]).reset_index(drop=True)


def _truths(task: TaskSettings) -> list[str]:
    """Return the columns that hold the truth."""
    if isinstance(task, Classification):
        return [TRUE_LABEL]
    return [pair[0] for pair in columns_of(task.labels)] if isinstance(task, Regression) else []


def _refuse_other_images(said: Sequence[Said], task: TaskSettings, group: str) -> None:
    """Refuse results of other images, or with other labels, than those of the first model.

    Raises
    ------
    InvalidDataError
        So it is; or a label is not known.
    """
    first, *others = said
    truths, is_class = _truths(task), isinstance(task, Classification)
    known = first.table[[*truths]].to_numpy()
    absent = (np.isnan(known) | ((known == NO_LABEL) & is_class)).any(1)
    if absent.any():
        raise InvalidDataError(
            f"The results of {group} were made without labels", where=first.name,
            found=listed(_images(first.table[absent])), fix="Predict again with labels",
        )  # fmt: skip
    if first.table[PARTICIPANT].nunique() < 2:
        raise InvalidDataError(
            f"The data group {group} has one participant, whom no test can resample",
            where=first.name, found=listed(_images(first.table)),
            fix="Compare on a larger group",
        )  # fmt: skip
    for other in others:
        ours, theirs = _images(first.table), _images(other.table)
        if ours != theirs:
            odd = sorted({*ours} ^ {*theirs})
            raise InvalidDataError(
                f"The data group {group} is not the same in both MAPS: only one has these",
                where=f"{first.name} and {other.name}, split {first.split}", found=listed(odd),
                fix="Evaluate both on one table of participants",
            )  # fmt: skip
        differ = (other.table[[*truths]].to_numpy() != known).any(axis=1)
        if differ.any():
            raise InvalidDataError(
                f"The labels of the data group {group} are not the same in both MAPS",
                where=f"{first.name} and {other.name}, split {first.split}",
                found=listed(_images(first.table[differ])),
                fix="Evaluate both on one table of participants",
            )  # fmt: skip


def _images(table: pd.DataFrame) -> list[str]:
    return [f"{who} {when}" for who, when in zip(table[PARTICIPANT], table[SESSION], strict=True)]


def _have_same_train(opened: Sequence[Maps], splits: Iterable[int]) -> bool:
    """Return whether train and validation of each split are those of the first MAPS."""

    def people(maps: Maps, name: str, split: int) -> list[tuple[str, ...]]:
        table = folder.read_group(maps.path, name, split).table
        return sorted(zip(table[PARTICIPANT], table[SESSION], strict=True))

    return all(
        people(maps, name, split) == people(opened[0], name, split)
        for maps, name, split in product(opened[1:], names.OWN_GROUPS, splits)
    )


def _remarks(
    config: CompareConfig,
    said: Sequence[Said],
    accepted: Iterable[str],
    covariates: Covariates | None,
) -> list[str]:
    remarks = [
        f"LEAKAGE was accepted when these results were made: {why}" for why in sorted(accepted)
    ]
    if config.group == names.VALIDATION:
        remarks.append(
            "Validation chose the epoch of each model: its values are too good, and a difference "
            "may be one of how often a model was tried"
        )
    if any(one.table[PARTICIPANT].duplicated().any() for one in said):
        remarks.append(
            "Some participants have several images: McNemar's test takes images for independent "
            "and is left out; DeLong's takes participants, as the bootstrap does"
        )
    if covariates is not None:
        path = covariates.found.path
        for one in said:
            remarks += missing_of(covariates, one.train, f"train of split {one.split}", path)
            remarks += missing_of(covariates, one.table, config.group, path)
    return remarks
