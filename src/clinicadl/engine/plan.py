"""From a configuration to a plan: everything is checked and nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import Classification, Reconstruction, TaskSettings
from clinicadl.engine import transfer
from clinicadl.engine.devices import Device, resolve
from clinicadl.engine.given_back import after_training, check_keep
from clinicadl.engine.need import Need, need
from clinicadl.engine.shuffled import shuffled
from clinicadl.engine.stored import Stored, prepared
from clinicadl.engine.targets import targets_of
from clinicadl.engine.transfer import Ancestry
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.guard import check, proof
from clinicadl.guard.check import Verdict
from clinicadl.guard.facts import Finding, TrainingSplit
from clinicadl.layouts import caps, files, splits
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.layouts.maps.record import Parent
from clinicadl.layouts.splits import SplitTables
from clinicadl.networks.fits import check_input, check_task
from clinicadl.networks.recompute import has_blocks
from clinicadl.networks.transfer import freeze
from clinicadl.tables import cohorts as cohort_tables
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, Member
from clinicadl.tasks.base import IMAGE, Task
from clinicadl.tasks.classification import codes_of
from clinicadl.tasks.losses import OF_PROBABILITIES
from clinicadl.tasks.reconstruction import resolved
from clinicadl.transforms.pipeline import check_augmentation, output_shape

logger = logging.getLogger(__name__)

UNIT_NORMALIZATIONS = ("min-max", "percentile")
"""Normalizations whose intensities lie within [0, 1]."""


@dataclass(frozen=True)
class SplitPlan:
    """The samples of one split: participant_id, session_id, cohort and the label."""

    number: int
    train: pd.DataFrame
    validation: pd.DataFrame


@dataclass(frozen=True)
class Divided:
    """Who is in which split, before any image is looked at."""

    cohorts: tuple[Member, ...]
    are_several: bool
    """Whether the cohorts are those that two tables name."""
    tables: Mapping[Member, Sequence[SplitTables]]
    """The tables of each split of each cohort."""
    splits: tuple[SplitPlan, ...]

    @property
    def everyone(self) -> pd.DataFrame:
        """The samples of all splits, train before validation."""
        return pd.concat([table for one in self.splits for table in (one.train, one.validation)])


@dataclass(frozen=True)
class Plan:
    """A training that can begin."""

    config: ExperimentConfig
    extractions: tuple[Extraction, ...]
    """One for each channel of the input."""
    cohorts: tuple[Member, ...]
    splits: tuple[SplitPlan, ...]
    stored: Stored
    input_shape: tuple[int, ...]
    """Shape of what the network gets, channel first."""
    codes: dict[str, int]
    task: Task
    device: Device
    needed: Need
    """Memory that the training needs at its peak."""
    tables: Mapping[str, str]
    """SHA-256 of each table that was read, and of the file of first weights if there is one."""
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
    check_task(config.network, config.task.kind)
    who = divided(config)
    cohorts, planned, everyone = who.cohorts, who.splits, who.everyone
    extractions = extractions_of(config, cohorts)
    device = resolve(config.compute)
    codes = _codes(config.task, planned, everyone)
    task: Task = config.task.build(codes)
    _check_targets(config, task, planned, who.tables)
    stored = prepared({one.name: one.caps for one in cohorts}, extractions, everyone)
    check_keep(task, after_training(config.task), stored, everyone)
    input_shape = output_shape(config.transforms, stored.shape)
    check_augmentation(config.transforms, input_shape)
    n_parts = len(stored.parts)
    network = network_of(config, input_shape, n_parts, task.n_outputs)
    outputs = _outputs(config, planned, network, input_shape, n_parts, device.ranks.world)
    if isinstance(config.task, Reconstruction):
        config = _with_loss(config, config.task, outputs, input_shape)
        task = config.task.build(codes)
    ancestry = ancestry_of(config, who)
    return Plan(
        config=config,
        extractions=extractions,
        cohorts=cohorts,
        splits=planned,
        stored=stored,
        input_shape=input_shape,
        codes=codes,
        task=task,
        device=device,
        needed=need(config, network, input_shape, n_parts, device),
        tables=_hashes(config, _read(who)),
        parents=ancestry.parents,
        verdict=verdict(who, ancestry, hashes=stored.hashes),
    )


def divided(config: ExperimentConfig) -> Divided:
    """Return who is in which split, from the tables alone.

    Raises
    ------
    MissingInputError
        A folder, table or column is absent.
    InvalidDataError
        A table is wrong, or a label is missing.
    UsageError
        The folder holds another number of splits.
    """
    data = config.data
    cohorts = cohort_tables.members(
        data.caps_directory, data.tsv_directory,
        is_multi=data.multi_cohort, diagnoses=data.diagnoses,
    )  # fmt: skip
    tables = {one: _tables(config, one) for one in cohorts}
    return Divided(cohorts, data.multi_cohort, tables, _planned(config, tables))


def ancestry_of(config: ExperimentConfig, who: Divided) -> Ancestry:
    """Return where the first weights of an experiment come from, and whom they saw."""
    everybody = [*sessions.sessions_of(who.everyone), *_sessions_of(_held_out(who))]
    return transfer.ancestry(config, [one.number for one in who.splits], everybody)


def verdict(who: Divided, ancestry: Ancestry, *, hashes: Mapping[Session, str]) -> Verdict:
    """Return what the guard says of a training.

    Parameters
    ----------
    who
        Who is in which split.
    ancestry
        Where first weights come from.
    hashes
        Content hash of the image of each session; none where no image was looked at.
    """
    held_out = _held_out(who)
    return check.training(
        [training_split(one) for one in who.splits], test=_sessions_of(held_out),
        test_tables=held_out, ancestors=ancestry.ancestors, edits=edits(_read(who)),
        cohorts=_cohorts_of(who.everyone) if who.are_several else {}, hashes=hashes,
    )  # fmt: skip


def _held_out(who: Divided) -> list[Path]:
    """Return the tables of the test sets that were set apart before."""
    return [path for one in who.cohorts for path in splits.test_tables(one.tables)]


def _read(who: Divided) -> list[Path]:
    """Return all tables that decide who is in which set."""
    of_splits = [path for some in who.tables.values() for one in some for path in one[1:]]
    return [*_held_out(who), *of_splits]


def _hashes(config: ExperimentConfig, tables: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of tables, of those of the cohorts, and of the file of first weights."""
    data = config.data
    of_cohorts = [data.caps_directory, data.tsv_directory] if data.multi_cohort else []
    weights = [value for _, value in config.network if isinstance(value, Path)]
    read = dict.fromkeys([*tables, *of_cohorts, *weights])
    return {str(path): files.sha256(path) for path in read}


def _tables(config: ExperimentConfig, cohort: Member) -> list[SplitTables]:
    return splits.read(
        files.existing_folder(cohort.tables, "folder of split tables"),
        n_splits=config.validation.n_splits,
        baseline=config.data.baseline,
        valid_longitudinal=config.data.valid_longitudinal,
    )


def _planned(
    config: ExperimentConfig, tables: Mapping[Member, Sequence[SplitTables]]
) -> tuple[SplitPlan, ...]:
    """Return the splits, each with the samples of all cohorts."""

    def together(paths: Iterable[Path]) -> pd.DataFrame:
        rows = [group(path, config, one) for path, one in zip(paths, tables, strict=True)]
        return pd.concat(rows, ignore_index=True)

    def train_of(some: Sequence[SplitTables]) -> pd.DataFrame:
        table = together(one.train for one in some)
        if not config.data.shuffle_labels or not config.task.labels:
            return table
        seed = config.reproducibility.seed
        return shuffled(table, config.task.labels, seed=seed, split=some[0].number)

    return tuple(
        SplitPlan(some[0].number, train_of(some), together(one.validation for one in some))
        for some in zip(*tables.values(), strict=True)
    )


def _cohorts_of(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the cohorts of each participant."""
    names = table.groupby(sessions.PARTICIPANT)[COHORT]
    return {str(who): tuple(sorted(set(rows))) for who, rows in names}


def agreed_extraction(cohorts: Sequence[Member], name: str) -> Extraction:
    """Return the extraction of all cohorts: each CAPS that holds the JSON says the same.

    Raises
    ------
    MissingInputError
        No CAPS holds it.
    InvalidDataError
        It is no extraction JSON, or two of them do not agree.
    """
    holding = [one for one in cohorts if caps.holds_extraction(one.caps, name)]
    first, *others = holding or cohorts[:1]
    extraction = caps.read_extraction(first.caps, name)
    for one in others:
        other = caps.read_extraction(one.caps, name)
        if not caps.is_same(other, extraction):
            raise InvalidDataError(
                f"The extractions of {first.name} and {one.name} do not agree",
                where=f"{extraction.path} and {other.path}",
                fix="Prepare all cohorts in one way, with one command each",
            )  # fmt: skip
    return extraction


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


def group(path: Path, config: ExperimentConfig, cohort: Member) -> pd.DataFrame:
    """Return the samples of a table: the diagnoses that are kept, with cohort and label.

    Raises
    ------
    InvalidDataError
        A label is missing, or no row is left.
    """
    labels = config.task.labels
    table = sessions.read(path)
    wanted = [*labels]
    if sessions.DIAGNOSIS not in table.columns and cohort.diagnoses is not None:
        wanted.append(sessions.DIAGNOSIS)
    table = sessions.with_columns(table, path, wanted)
    table = sessions.keep_diagnoses(table, cohort.diagnoses, where=path)
    unlabelled = table[table[[*labels]].isna().any(axis=1)]
    if len(unlabelled):
        raise InvalidDataError(
            f"{len(unlabelled)} sessions have no label",
            where=f"{path}, column{'s' if len(labels) > 1 else ''} {listed(labels)}",
            found=listed(" | ".join(key) for key in sessions.sessions_of(unlabelled)),
            fix="Fill the column, or leave these sessions out of the table",
        )  # fmt: skip
    columns = dict.fromkeys((sessions.PARTICIPANT, sessions.SESSION, COHORT, *labels))
    return table.assign(**{COHORT: cohort.name})[list(columns)].reset_index(drop=True)


def _codes(
    settings: TaskSettings, planned: Sequence[SplitPlan], everyone: pd.DataFrame
) -> dict[str, int]:
    """Return the node of each class; none where the task has no classes.

    Raises
    ------
    InvalidDataError
        A label is missing, has no node, or all of a split's train belong to one class.
    """
    if not isinstance(settings, Classification):
        return {}
    label = settings.label
    codes = codes_of(list(everyone[label]), settings)
    for one in planned:
        found = sorted(one.train[label].unique())
        if len(found) < 2:
            raise InvalidDataError(
                "The network would be fitted on one class", where=f"split {one.number}, train",
                found=listed(found), fix=f"Split again, stratified by {label}",
            )  # fmt: skip
    return codes


def _check_metrics(settings: TaskSettings, task: Task) -> None:
    """Refuse a task of another package that does not compute what was asked of it.

    Raises
    ------
    UsageError
        A metric is missing.
    """
    wanted = (*settings.selection_metrics, *settings.extra_metrics)
    missing = [name for name in wanted if name not in task.higher_is_better()]
    if missing:
        raise UsageError(
            f"The task {settings.name} does not compute these metrics", found=listed(missing),
            where="--selection_metrics, --extra_metrics", fix="Leave them out, or mend the task",
        )  # fmt: skip


def _check_targets(
    config: ExperimentConfig,
    task: Task,
    planned: Sequence[SplitPlan],
    tables: Mapping[Member, Sequence[SplitTables]],
) -> None:
    """Refuse labels that cannot be learnt, naming the table and the sessions.

    Raises
    ------
    UsageError
        The sampler wants labels, or they are to be shuffled, and there are none.
    InvalidDataError
        A label is wrong.
    """
    _check_metrics(config.task, task)
    if config.data.shuffle_labels and not task.labels:
        raise UsageError(
            f"A {config.task.name} has no labels that could be shuffled",
            where="--shuffle_labels", fix="Leave it out",
        )  # fmt: skip
    if config.data.sampler != "random" and not task.labels:
        raise UsageError(
            f"A {config.task.name} has no label whose classes could be evened out",
            where="--sampler", found=config.data.sampler, fix="Take the random one",
        )  # fmt: skip
    for cohort, paths in tables.items():
        for one, read in zip(planned, paths, strict=True):
            for table, path in ((one.train, read.train), (one.validation, read.validation)):
                targets_of(task, table[table[COHORT] == cohort.name], where=path)


def _with_loss(
    config: ExperimentConfig, task: Reconstruction, outputs: Any, input_shape: tuple[int, ...]
) -> ExperimentConfig:
    """Return the experiment with the loss that its network needs where none was chosen.

    Raises
    ------
    UsageError
        The network gives back no such image, or the loss is not for it or for such intensities.
    """
    task = resolved(task, config.network, outputs, input_shape)
    transforms = config.transforms
    in_unit = transforms.normalize and transforms.normalization.name in UNIT_NORMALIZATIONS
    if task.loss in OF_PROBABILITIES and not in_unit:
        raise UsageError(
            f"{task.loss} takes intensities for probabilities, and these leave [0, 1]",
            where="--normalization",
            found=transforms.normalization.name if transforms.normalize else "unnormalize",
            fix=f"Take {' or '.join(UNIT_NORMALIZATIONS)}, or VAEGaussianLoss",
        )
    return config.model_copy(update={"task": task})


def extractions_of(config: ExperimentConfig, cohorts: Sequence[Member]) -> tuple[Extraction, ...]:
    """Return the extraction of each channel.

    Raises
    ------
    UsageError
        Several networks are to be trained on images that are their own only parts.
    """
    names = (config.data.preprocessing_json, *config.data.channels)
    found = tuple(agreed_extraction(cohorts, name) for name in names)
    if config.multi_network and found[0].mode == IMAGE:
        raise UsageError(
            "An image is its own only part: there is nothing to train several networks on",
            where="--multi_network", fix="Prepare patches, regions or slices, or leave it out",
        )  # fmt: skip
    return found


def network_of(
    config: ExperimentConfig, shape: tuple[int, ...], n_parts: int, n_outputs: int
) -> nn.Module:
    """Return the network on torch's meta device, where it costs no memory and draws nothing.

    Raises
    ------
    UsageError
        The network has another number of axes; or the weights that it should get, or the layers
        that should learn, are not those it has; or none of its blocks can be computed again.
    """
    check_input(config.network, shape)
    with torch.device("meta"):
        network: nn.Module = config.network.build(shape, n_outputs)
        config.network.start(network)
    transfer.check(config, network, n_parts)
    freeze(network, config.transfer.nb_unfrozen_layer)
    if config.compute.activation_checkpointing and not has_blocks(network):
        raise UsageError(
            "This network has no blocks that could be computed again",
            where="--activation_checkpointing", found=config.network.name,
            fix="Leave it out, or take a network of blocks",
        )  # fmt: skip
    return network


def _outputs(
    config: ExperimentConfig,
    planned: Sequence[SplitPlan],
    network: nn.Module,
    shape: tuple[int, ...],
    n_parts: int,
    world: int,
) -> Any:
    """Return what the network says of one sample, in evaluation mode, on torch's meta device.

    Raises
    ------
    UsageError
        A batch, or the rest of an epoch, is one image too small to normalize.
    """
    alone = torch.empty(1, *shape, device="meta")
    batch_size, per = config.optimization.batch_size, 1 if config.multi_network else n_parts
    # All processes that train together normalize together.
    together = batch_size * world
    rests = {one.number: len(one.train) * per % together for one in planned}
    lonely = [split for split, rest in rests.items() if rest == 1 or together == 1]
    try:
        network.train()(alone)
    except ValueError as error:
        if lonely:
            raise UsageError(
                "The network cannot normalize a batch that holds one such small image",
                where=f"train of split {listed(lonely)}", found=f"--batch_size {batch_size}",
                fix="Choose another --batch_size, so that the last batch holds two or more",
            ) from error  # fmt: skip
    return network.eval()(alone)


def _sessions_of(tables: Iterable[Path]) -> list[Session]:
    return [key for path in tables for key in sessions.sessions_of(sessions.read(path))]


def training_split(one: SplitPlan) -> TrainingSplit:
    """Return a split as the guard looks at it."""
    return TrainingSplit(
        one.number, sessions.sessions_of(one.train), sessions.sessions_of(one.validation)
    )
