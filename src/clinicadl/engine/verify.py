"""Whether a MAPS is what was recorded, and whether the same comes out again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import pandas as pd
import torch

from clinicadl.config import places
from clinicadl.engine import repeat, train
from clinicadl.engine.devices import threads
from clinicadl.engine.events import Observer
from clinicadl.engine.groups import stored_of
from clinicadl.engine.plan import plan
from clinicadl.engine.seen import seen_by
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.guard import check
from clinicadl.guard.facts import TrainingSplit
from clinicadl.guard.rules import RESCANNED_IN_TRAINING
from clinicadl.layouts import files, tsv
from clinicadl.layouts.maps import folder, hashes, ledger, names, outcomes, published, seals
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Record
from clinicadl.networks import weights
from clinicadl.tables import sessions

SAME: Literal["as recorded"] = "as recorded"
DIFFERENT: Literal["DIFFERENT"] = "DIFFERENT"
UNCHECKED: Literal["not checked"] = "not checked"

_TIME = "time"
"""The one column of a training log that no two runs share."""


class Step(NamedTuple):
    """What one check says."""

    outcome: Literal["as recorded", "DIFFERENT", "not checked"]
    sentence: str


class Verification(NamedTuple):
    """What all checks say, a sentence each."""

    same: tuple[str, ...]
    different: tuple[str, ...]
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""


def verify(
    maps: Path,
    *,
    rerun: bool = False,
    split: int | None = None,
    observers: Sequence[Observer] = (),
) -> Verification:
    """Return what in a MAPS is as it was recorded and what is not; nothing in it is changed.

    Parameters
    ----------
    maps
        The MAPS.
    rerun
        Whether a split is trained again, in a temporary folder, and compared bit by bit.
    split
        The split; the first one that is trained by default.
    observers
        Told of everything that happens in that training.

    Raises
    ------
    MissingInputError
        There is no such MAPS; or a split is to be trained again and its data are gone.
    InvalidDataError
        The record cannot be read.
    UsageError
        The split is not trained, or another release trained it.
    """
    found = [*steps(maps, rerun=rerun, split=split, observers=observers)]

    def said(outcome: str) -> tuple[str, ...]:
        return tuple(one.sentence for one in found if one.outcome == outcome)

    return Verification(said(SAME), said(DIFFERENT), said(UNCHECKED))


def refuse_different(maps: Path, found: Iterable[Step]) -> None:
    """Refuse a MAPS that is not as it was recorded.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    n_different = sum(one.outcome == DIFFERENT for one in found)
    if n_different:
        raise InvalidDataError(
            "The MAPS is not as it was recorded", where=maps,
            found=f"{n_different} {'difference' if n_different == 1 else 'differences'}",
            fix="What differs is listed before this line",
        )  # fmt: skip


def steps(
    maps: Path, *, rerun: bool, split: int | None, observers: Sequence[Observer]
) -> Iterator[Step]:
    """Yield what each check says, the quick ones first; else as `verify`.

    Raises
    ------
    UsageError
        The split is not trained, another release trained it, or no split is trained again.
    """
    opened = folder.open_maps(maps)
    trained = _trained(maps)
    if rerun:
        split = _chosen(opened, trained, split)
    elif split is not None:
        raise UsageError(
            "A split is chosen to be trained again, and none is", where="--split",
            fix="Add --rerun, or leave it out",
        )  # fmt: skip
    yield from _files(maps, opened.record, trained)
    yield from _weights(opened, trained)
    yield from _guard_of_training(opened)
    for name in _own_groups(maps):
        yield from _guard_of_group(maps, name, trained)
        yield from _images(opened, name)
    yield from _data(opened)
    if rerun and split is not None:
        yield from _again(opened, split, observers)


def _trained(maps: Path) -> list[int]:
    return [
        number
        for number in names.split_numbers(maps)
        if names.selection_metrics(maps, number) and not folder.is_unfinished(maps, number)
    ]


def _chosen(opened: Maps, trained: Sequence[int], split: int | None) -> int:
    """Return the split that is trained again.

    Raises
    ------
    UsageError
        There is none.
    """
    if opened.record.pulled is not None:
        raise UsageError(
            "The images and tables that a pulled model was trained on are not here",
            where="--rerun", fix="Ask those who shared it",
        )  # fmt: skip
    if opened.record.imported is not None:
        raise UsageError(
            "The bits of another release do not come out again", where="--rerun",
            fix="Train it anew with: clinicadl train from-maps MAPS NEW_MAPS",
        )  # fmt: skip
    if not trained or (split is not None and split not in trained):
        raise UsageError(
            "The split is not trained, so that nothing can be compared", where="--split",
            found=split, fix=f"Trained: {listed(trained) or 'none'}",
        )  # fmt: skip
    return trained[0] if split is None else split


def _files(maps: Path, record: Record, trained: Sequence[int]) -> Iterator[Step]:
    """Compare all files that have hashes, and name what has none."""
    groups = {
        names.group(maps, name, number)
        for name in names.OWN_GROUPS
        for number in range(max(record.config.validation.n_splits, 1))
        if record.pulled is None
    }
    defined = sorted(groups | {names.group(maps, name) for name in _own_groups(maps)})
    results = [home for number in (*trained, None) for home in _results(maps, number, record)]
    splits = [names.split(maps, number) for number in trained]
    for home in (maps, *defined, *splits, *results):
        same, different = hashes.compare(home)
        yield from (Step(DIFFERENT, sentence) for sentence in different)
        if same:
            yield Step(SAME, f"{len(same)} files of {_place(home, maps)}")
        if home in results:
            known = {home / name for name in same}
            foreign = [] if different else [*{*hashes.files_below(home)} - known]
            for path in sorted(foreign):
                yield Step(UNCHECKED, f"{path} is nothing that was written with these results")
    for number in names.split_numbers(maps):
        if number not in trained:
            yield Step(UNCHECKED, f"split {number} is not trained to its end")


def _place(home: Path, maps: Path) -> str:
    return "the MAPS itself" if home == maps else str(home.relative_to(maps))


def _results(maps: Path, number: int | None, record: Record) -> Iterator[Path]:
    """Yield the folders of results of a split that are there, or must be there.

    Those of the ensemble of all splits (None) need not.
    """
    is_ours = record.imported is None and record.pulled is None and number is not None
    ours = tuple(record.config.task.selection_metrics) if is_ours else ()
    for metric in sorted({*names.selection_metrics(maps, number), *ours}):
        looked = [path for path in names.best(maps, number, metric).glob("*") if path.is_dir()]
        judged = outcomes.judged_groups(maps, number, metric)
        there = {names.results(maps, number, metric, name) for name in judged}
        own = {names.results(maps, number, metric, name) for name in names.OWN_GROUPS if ours}
        interpreted = {one for path in looked for one in names.interpretations(path)}
        yield from sorted(there | own | interpreted)


def _weights(opened: Maps, trained: Sequence[int]) -> Iterator[Step]:
    """Read all weights, and see whether they are those of the recorded network."""
    record, maps = opened.record, opened.path
    task = record.config.task.build(record.label_code)
    with torch.device("meta"):
        network = record.config.network.build(record.input_shape, task.n_outputs)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    settings = _without_places(record, record.config.network.model_dump(mode="json"))
    n_read = 0
    for number in trained:
        for metric in names.selection_metrics(maps, number):
            for part in names.networks(maps, number, metric):
                path = names.weights(maps, number, metric, part)
                try:
                    stored = weights.read(path)
                except ClinicaDLError as error:
                    yield Step(DIFFERENT, str(error))
                    continue
                found = {name: tuple(value.shape) for name, value in stored.state.items()}
                n_read += 1
                theirs = _without_places(record, stored.facts.get("network", {}))
                if found != shapes or theirs != settings:
                    yield Step(DIFFERENT, f"{path} holds weights of another network than recorded")
    yield Step(SAME, f"{n_read} files of weights can be read")


def _without_places(record: Record, network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a network but those that name a place, which may be another now."""
    named = places.of(record.config).get("network", {})
    return {name: value for name, value in network.items() if name not in named}


def _guard_of_training(opened: Maps) -> Iterator[Step]:
    """Ask the guard about the groups as they are now, and compare them with who was seen."""
    maps, record = opened
    if record.pulled is not None:
        yield Step(UNCHECKED, "train and validation: they were pulled without names")
        return
    splits, everybody = [], set()
    for number in range(max(record.config.validation.n_splits, 1)):
        try:
            who = [
                sessions.sessions_of(folder.read_group(maps, name, number).table)
                for name in names.OWN_GROUPS
            ]
        except (ClinicaDLError, KeyError) as error:
            yield Step(DIFFERENT, f"split {number}: {error}")
            return
        splits.append(TrainingSplit(number, *who))
        everybody |= {key for keys in who for key in keys}
    seen = folder.read_seen(maps)
    ours = seen[seen["seen_by"] == ""]
    if everybody - {*sessions.sessions_of(ours)}:
        odd = listed(" | ".join(key) for key in sorted(everybody - {*sessions.sessions_of(ours)}))
        yield Step(
            DIFFERENT, f"{names.seen(maps)} does not name all of train and validation: {odd}"
        )
    known = {(one["rule"], *one["participants"]) for one in record.guard}
    new = [
        one for one in check.training(splits).findings if (one.rule, *one.participants) not in known
    ]
    yield from (Step(DIFFERENT, f"the guard did not find before: {one.sentence}") for one in new)
    if not new:
        yield Step(SAME, "what the guard finds in train and validation")


def _own_groups(maps: Path) -> list[str]:
    """Return the data groups of users."""
    return [*published.groups(maps)]


def _guard_of_group(maps: Path, name: str, trained: Sequence[int]) -> Iterator[Step]:
    """Ask the guard about a data group again, and compare its table with the last look at it."""
    group = folder.read_group(maps, name)
    keys, known = sessions.sessions_of(group.table), folder.image_hashes(group)
    verdict = check.evaluation(name, keys, seen=seen_by(maps, keys, known), hashes=known)
    refusals = [one for one in verdict.findings if one.severity == "refuse"]
    different = []
    (became,) = (one for one in seals.states(maps) if one.name == name)
    for number in (*trained, None):
        for metric in names.selection_metrics(maps, number):
            results = names.results(maps, number, metric, name)
            done = [results] if outcomes.has_results(maps, number, metric, name) else []
            for home in (*done, *names.interpretations(results)):
                if became.is_sealed and not became.unsealed:
                    different.append(f"{home} is about a group that is sealed")
                if refusals and not _accepted(home):
                    sentences = "; ".join(one.sentence for one in refusals)
                    different.append(f"{home} is leaking, which nobody accepted: {sentences}")
    looks = ledger.read(maps)
    own = looks[looks["group"] == name]
    if len(own) and own["table_sha256"].iloc[-1] != files.sha256(
        names.group_table(names.group(maps, name))
    ):
        different.append(f"the table of {name} is not the one that was last looked at")
    yield from (Step(DIFFERENT, sentence) for sentence in different)
    if not different:
        yield Step(SAME, f"what the guard finds in the data group {name}")


def _accepted(results: Path) -> bool:
    """Return whether the refusals of the guard were overridden when results were made."""
    try:
        said = files.read_json(names.guard(results), "verdict of the guard")
    except ClinicaDLError:
        return False  # it is listed among the files that differ
    return said.get("accepted") is not None


def _images(opened: Maps, name: str) -> Iterator[Step]:
    """Compare the images of a data group with those that its models saw."""
    group = folder.read_group(opened.path, name)
    known = folder.image_hashes(group)
    if not known:
        yield Step(UNCHECKED, f"the images of {name}: their hashes were not recorded")
        return
    try:
        origins = stored_of(opened, group).origins
    except MissingInputError as error:
        yield Step(UNCHECKED, f"the images of {name}: {error}")
        return
    except ClinicaDLError as error:
        yield Step(DIFFERENT, f"the images of {name}: {error}")
        return
    now = {key: found.sha256 for key, found in origins.items()}
    odd = [" | ".join(key) for key in {**known, **now} if known.get(key) != now.get(key)]
    if odd:
        yield Step(DIFFERENT, f"the images of {name} are others: {listed(odd)}")
    else:
        yield Step(SAME, f"{len(known)} images of the data group {name}")


def _data(opened: Maps) -> Iterator[Step]:
    """Compare tables and images of training, and the verdict of the guard on them."""
    record = opened.record
    if record.imported is not None or record.pulled is not None:
        who = "another release" if record.imported is not None else "another machine"
        yield Step(UNCHECKED, f"tables and images of training: {who} read them")
        return
    changed, gone = [], []
    for path, digest in record.tables.items():
        if not Path(path).is_file():
            gone.append(path)
        elif files.sha256(Path(path)) != digest:
            changed.append(path)
    if changed:
        yield Step(DIFFERENT, f"tables that were read have changed: {listed(changed)}")
    if gone:
        yield Step(UNCHECKED, f"tables that were read cannot be reached: {listed(gone)}")
        return
    try:
        planned = plan(record.config)
    except MissingInputError as error:
        yield Step(UNCHECKED, f"the images of training cannot be reached: {error}")
        return
    except ClinicaDLError as error:
        yield Step(DIFFERENT, str(error))
        return
    different = [] if changed else [*repeat.changes_of_data(opened.path, record, planned)]
    # What the images show was looked at once, when the MAPS was made.
    recorded = [one for one in record.guard if one["rule"] != RESCANNED_IN_TRAINING]
    if not changed and recorded != planned.verdict.to_record()["findings"]:
        different.append("the guard finds something else in the tables than before training")
    yield from (Step(DIFFERENT, sentence) for sentence in different)
    if not different and not changed:
        n_images = len(planned.stored.origins)
        yield Step(SAME, f"{len(record.tables)} tables and {n_images} images of training")


def _again(opened: Maps, split: int, observers: Sequence[Observer]) -> Iterator[Step]:
    """Train a split again, and compare all that must be the same bits."""
    recorded = opened.record.resolved.get("threads")
    with TemporaryDirectory(prefix="clinicadl-verify-") as temporary, threads(recorded):
        new = Path(temporary) / "maps"
        planned = repeat.ready(opened.path, new, splits=(split,))
        changes = [*repeat.changes_of_machine(opened.record, planned.device)]
        train.run(planned, new, observers=observers)
        different = [*_different_runs(opened, new, split)]
    if not different:
        yield Step(SAME, f"split {split}: it came out again, bit by bit")
        return
    yield from (Step(DIFFERENT, f"split {split}, {sentence}") for sentence in different)
    for change in changes:
        yield Step(UNCHECKED, f"the bits may differ because {change}")


def _different_runs(opened: Maps, new: Path, split: int) -> Iterator[str]:
    """Yield what of two runs of one split differs, in the order of its origin."""
    old = opened.path
    metrics = opened.record.config.task.selection_metrics
    for part in names.networks(new, split, metrics[0]):
        who = "" if part is None else f"network {part}, "
        logs = [_log(names.training_log(maps, split, part)) for maps in (old, new)]
        difference = first_difference(*logs)
        if difference is not None:
            yield f"{who}{difference}"
        for metric in metrics:
            before, now = (
                weights.read(names.weights(maps, split, metric, part)) for maps in (old, new)
            )
            if before.facts != now.facts or not _same_bits(before.state, now.state):
                yield f"{who}the best weights by {metric} are others"
    for metric in metrics:
        for name in names.OWN_GROUPS:
            homes = [names.results(maps, split, metric, name) for maps in (old, new)]
            first, second = (_tables(home) for home in homes)
            odd = [one for one in {**first, **second} if first.get(one) != second.get(one)]
            if odd:
                yield f"results by {metric} are others: {listed(odd)}"


def _log(path: Path) -> pd.DataFrame:
    return tsv.read(path, "training log").drop(columns=_TIME).fillna("n/a")


def first_difference(before: pd.DataFrame, now: pd.DataFrame) -> str | None:
    """Return the first epoch in which two training logs differ, and in what; None if they do not.

    Parameters
    ----------
    before, now
        Rows of a log, cells as text, without the time.
    """
    if [*before.columns] != [*now.columns]:
        return f"the logs have other columns: {listed({*before.columns} ^ {*now.columns})}"
    for old, new in zip(before.to_dict("records"), now.to_dict("records"), strict=False):
        odd = [f"{name} {new[name]}, was {old[name]}" for name in old if old[name] != new[name]]
        if odd:
            return f"the first epoch that differs is {old['epoch']}: {listed(odd, most=3)}"
    if len(before) != len(now):
        first = max(before, now, key=len).iloc[min(len(before), len(now))]["epoch"]
        return f"the first epoch that differs is {first}: only one of the two runs has it"
    return None


def _same_bits(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value.view(-1).view(torch.uint8), other[name].view(-1).view(torch.uint8))
        for name, value in one.items()
    )


def _tables(results: Path) -> dict[str, str]:
    """Return the hashes of the tables of results, by their names."""
    return {path.name: files.sha256(path) for path in sorted(results.glob("*.tsv"))}
