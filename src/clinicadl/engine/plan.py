"""From a configuration to a plan: everything is checked and nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import Classification
from clinicadl.data import origin, parts
from clinicadl.data.dataset import PartDataset
from clinicadl.data.origin import Origin
from clinicadl.data.parts import Parts
from clinicadl.engine import transfer
from clinicadl.engine.devices import Device, resolve
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.guard import check, proof
from clinicadl.guard.check import Verdict
from clinicadl.guard.rules import Finding, TrainingSplit
from clinicadl.layouts import caps, files, masks, splits
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.layouts.maps.record import Parent
from clinicadl.tables import sessions
from clinicadl.tasks.base import Task, part_column
from clinicadl.tasks.classification import codes_of
from clinicadl.transforms.pipeline import (
    Augment,
    Transform,
    check_augmentation,
    output_shape,
)

logger = logging.getLogger(__name__)

COHORT = "cohort"
SINGLE = "single"


@dataclass(frozen=True)
class SplitPlan:
    """The samples of one split: participant_id, session_id, cohort and the label."""

    number: int
    train: pd.DataFrame
    validation: pd.DataFrame


@dataclass(frozen=True)
class Stored:
    """The prepared images of some sessions."""

    files: Mapping[Session, tuple[Path, ...]]
    """The tensor of each image, or those of its parts."""
    origins: Mapping[Session, Origin]
    parts: Parts
    mode: str
    are_cut: bool
    """Whether the parts were stored, and not the images."""

    def dataset(
        self,
        table: pd.DataFrame,
        targets: Sequence[int | float],
        transform: Transform,
        *,
        augment: Augment | None = None,
    ) -> PartDataset:
        """Return the samples of a table of sessions: all parts of a session before the next."""
        files = [self.files[key] for key in sessions.sessions_of(table)]
        return PartDataset(
            files, targets, self.parts, transform, are_cut=self.are_cut, augment=augment
        )

    def samples(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one row a part of each row of a table of sessions, with the number of the part."""
        n_parts = len(self.parts)
        rows = table.loc[table.index.repeat(n_parts)].reset_index(drop=True)
        return rows.assign(**{part_column(self.mode): [*self.parts.numbers] * len(table)})


@dataclass(frozen=True)
class Plan:
    """A training that can begin."""

    config: ExperimentConfig
    extraction: Extraction
    splits: tuple[SplitPlan, ...]
    stored: Stored
    input_shape: tuple[int, ...]
    """Shape of what the network gets, channel first."""
    codes: dict[str, int]
    task: Task
    device: Device
    tables: Mapping[str, str]
    """SHA-256 of each table that was read."""
    parents: tuple[Parent, ...]
    verdict: Verdict


def plan(config: ExperimentConfig) -> Plan:
    """Return the plan of an experiment.

    Raises
    ------
    MissingInputError
        A folder, table, image or tensor is absent.
    InvalidDataError
        A table, extraction or label is wrong, or a tensor does not belong to its image any more.
    UsageError
        The network cannot take these images, or there is no such device.
    """
    extraction = caps.read_extraction(config.data.caps_directory, config.data.preprocessing_json)
    device = resolve(config.compute.gpu)
    tables = splits.read(
        files.existing_folder(config.data.tsv_directory, "folder of split tables"),
        n_splits=config.validation.n_splits,
        baseline=config.data.baseline,
        valid_longitudinal=config.data.valid_longitudinal,
    )
    planned = tuple(
        SplitPlan(one.number, group(one.train, config), group(one.validation, config))
        for one in tables
    )
    everyone = pd.concat([table for one in planned for table in (one.train, one.validation)])
    codes: dict[str, int] = {}
    if isinstance(config.task, Classification):
        codes = codes_of(list(everyone[config.task.label]), config.task)
        _check_classes(planned, config.task.label)
    stored = prepared(config.data.caps_directory, extraction, everyone)
    task: Task = config.task.build(codes)
    input_shape = output_shape(config.transforms, stored.parts.shape)
    check_augmentation(config.transforms, input_shape)
    _check_network(config, planned, input_shape, len(stored.parts), task.n_outputs)
    ancestry = transfer.ancestry(config, [one.number for one in planned])
    held_out = splits.test_tables(config.data.tsv_directory)
    read = [*held_out, *(path for one in tables for path in (one.train, one.validation))]
    verdict = check.training(
        [_sessions(one) for one in planned],
        test=[key for path in held_out for key in sessions.sessions_of(sessions.read(path))],
        test_tables=held_out,
        ancestors=ancestry.ancestors,
        edits=edits(read),
    )
    return Plan(
        config=config,
        extraction=extraction,
        splits=planned,
        stored=stored,
        input_shape=input_shape,
        codes=codes,
        task=task,
        device=device,
        tables={str(path): files.sha256(path) for path in dict.fromkeys(read)},
        parents=ancestry.parents,
        verdict=verdict,
    )


def edits(tables: Iterable[Path]) -> tuple[Finding, ...]:
    """Return what the guard finds in tables that were edited after their division."""
    return tuple(found for path in tables for found in proof.check(path, _participants(path)))


def _participants(path: Path) -> Iterator[str]:
    """Yield who is in a table, which is read only if anybody asks."""
    yield from sessions.read(path)[sessions.PARTICIPANT]


def announce(verdict: Verdict) -> None:
    """Log what the guard found and does not refuse."""
    for finding in verdict.findings:
        if finding.severity == "warn" or verdict.accepted is not None:
            logger.warning("%s", finding.sentence)


def group(path: Path, config: ExperimentConfig) -> pd.DataFrame:
    """Return the samples of a table: the diagnoses that are kept, with cohort and label.

    Raises
    ------
    InvalidDataError
        A label is missing, or no row is left.
    """
    label = config.task.label
    table = sessions.read(path)
    wanted = [label]
    if sessions.DIAGNOSIS not in table.columns and config.data.diagnoses is not None:
        wanted.append(sessions.DIAGNOSIS)
    table = sessions.with_columns(table, path, wanted)
    table = sessions.keep_diagnoses(table, config.data.diagnoses, where=path)
    unlabelled = table[table[label].isna()]
    if len(unlabelled):
        raise InvalidDataError(
            f"{len(unlabelled)} sessions have no label", where=f"{path}, column {label}",
            found=listed(" | ".join(key) for key in sessions.sessions_of(unlabelled)),
            fix="Fill the column, or leave these sessions out of the table",
        )  # fmt: skip
    columns = dict.fromkeys((sessions.PARTICIPANT, sessions.SESSION, COHORT, label))
    return table.assign(**{COHORT: SINGLE})[list(columns)].reset_index(drop=True)


def prepared(caps_directory: Path, extraction: Extraction, table: pd.DataFrame) -> Stored:
    """Return the tensors of the sessions of a table, which must still belong to their images.

    Raises
    ------
    MissingInputError
        A session has no tensor, or a region no mask; all such are named.
    InvalidDataError
        A tensor does not belong to its image any more, shapes differ, or a mask has another grid.
    UsageError
        The mode has no part of such images.
    """
    wanted = list(dict.fromkeys(sessions.sessions_of(table)))
    mode, preprocessing = caps.mode_settings(extraction), extraction.preprocessing
    regions = masks.read(caps_directory, mode, preprocessing)
    if extraction.stores_parts:
        found = origin.verify_parts(caps_directory, preprocessing, wanted, mode=mode, masks=regions)
    else:
        stored = origin.verify(caps_directory, preprocessing, wanted)
        found = {key: ((paths.tensor,), made_from) for key, (paths, made_from) in stored.items()}
    origins = {key: made_from for key, (_, made_from) in found.items()}
    by_shape: dict[tuple[int, ...], list[Session]] = {}
    for key, made_from in origins.items():
        by_shape.setdefault(made_from.shape, []).append(key)
    if len(by_shape) > 1:
        rare = min(by_shape.items(), key=lambda item: len(item[1]))
        raise InvalidDataError(
            "The images have several shapes", where=caps_directory,
            found=f"{rare[0]} in {listed(' | '.join(key) for key in rare[1])}",
            fix="Leave these sessions out, or bring all images to one grid",
        )  # fmt: skip
    for key, made_from in origins.items():
        affine = np.array(made_from.affine)
        parts.check_grid(regions, made_from.shape, affine, " | ".join(key))
    return Stored(
        {key: files for key, (files, _) in found.items()},
        origins,
        parts.of(mode, next(iter(by_shape)), regions),
        extraction.mode,
        extraction.stores_parts,
    )


def _check_classes(planned: Sequence[SplitPlan], label: str) -> None:
    for one in planned:
        found = sorted(one.train[label].unique())
        if len(found) < 2:
            raise InvalidDataError(
                "The network would be fitted on one class", where=f"split {one.number}, train",
                found=listed(found), fix=f"Split again, stratified by {label}",
            )  # fmt: skip


def _check_network(
    config: ExperimentConfig,
    planned: Sequence[SplitPlan],
    shape: tuple[int, ...],
    n_parts: int,
    n_outputs: int,
) -> None:
    """Refuse images that the network cannot take, alone or as the rest of an epoch.

    Raises
    ------
    UsageError
        The network has another number of axes, or a batch holds one image too small to normalize.
    """
    with torch.device("meta"):
        # Costs no memory and draws nothing.
        network = config.network.build(shape, n_outputs)
        alone = torch.empty(1, *shape)
    batch_size = config.optimization.batch_size
    lonely = [
        one.number
        for one in planned
        if len(one.train) * n_parts % batch_size == 1 or batch_size == 1
    ]
    try:
        network.train()(alone)
    except ValueError as error:
        if lonely:
            raise UsageError(
                "The network cannot normalize a batch that holds one such small image",
                where=f"train of split {listed(lonely)}", found=f"--batch_size {batch_size}",
                fix="Choose another --batch_size, so that the last batch holds two or more",
            ) from error  # fmt: skip


def _sessions(one: SplitPlan) -> TrainingSplit:
    return TrainingSplit(
        one.number, sessions.sessions_of(one.train), sessions.sessions_of(one.validation)
    )
