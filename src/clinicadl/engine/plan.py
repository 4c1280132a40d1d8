"""From a configuration to a plan: everything is checked and nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import Classification
from clinicadl.data import origin
from clinicadl.data.origin import Origin
from clinicadl.engine import transfer
from clinicadl.engine.devices import Device, resolve
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.guard import check, proof
from clinicadl.guard.check import Verdict
from clinicadl.guard.rules import Finding, TrainingSplit
from clinicadl.layouts import caps, files, splits
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.layouts.maps.record import Parent
from clinicadl.tables import sessions
from clinicadl.tasks.base import Task
from clinicadl.tasks.classification import codes_of

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

    tensors: Mapping[Session, Path]
    origins: Mapping[Session, Origin]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every sample, channel first."""
        return next(iter(self.origins.values())).shape


@dataclass(frozen=True)
class Plan:
    """A training that can begin."""

    config: ExperimentConfig
    extraction: Extraction
    splits: tuple[SplitPlan, ...]
    stored: Stored
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
    extraction = read_extraction(config.data.caps_directory, config.data.preprocessing_json)
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
    _check_network(config, planned, stored.shape, task.n_outputs)
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


def read_extraction(caps_directory: Path, given: str) -> Extraction:
    """Return an extraction of whole images.

    Raises
    ------
    MissingInputError
        It is absent.
    UsageError
        It is of another mode.
    """
    extraction = caps.read_extraction(caps_directory, given)
    if extraction.mode != "image":
        raise UsageError(
            "Only whole images can be trained on as yet", where=extraction.path,
            found=f"mode {extraction.mode}", fix="Run prepare-data image",
        )  # fmt: skip
    return extraction


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
        A session has no tensor; all such are named.
    InvalidDataError
        A tensor does not belong to its image any more, or shapes differ.
    """
    wanted = list(dict.fromkeys(sessions.sessions_of(table)))
    found = origin.verify(caps_directory, extraction.preprocessing, wanted)
    tensors = {key: paths.tensor for key, (paths, _) in found.items()}
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
    return Stored(tensors, origins)


def _check_classes(planned: Sequence[SplitPlan], label: str) -> None:
    for one in planned:
        found = sorted(one.train[label].unique())
        if len(found) < 2:
            raise InvalidDataError(
                "The network would be fitted on one class", where=f"split {one.number}, train",
                found=listed(found), fix=f"Split again, stratified by {label}",
            )  # fmt: skip


def _check_network(
    config: ExperimentConfig, planned: Sequence[SplitPlan], shape: tuple[int, ...], n_outputs: int
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
    lonely = [one.number for one in planned if len(one.train) % batch_size == 1 or batch_size == 1]
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
