"""A MAPS, of this release or of 1.x, as the leakage rules look at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from clinicadl.engine import rescans
from clinicadl.engine.rescans import Drawable
from clinicadl.engine.seen import THIS_MAPS, seen_by, seen_of
from clinicadl.errors import ClinicaDLError, MissingInputError, listed
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.guard.facts import Ancestor, Finding, Seen, TrainingSplit
from clinicadl.guard.wording import counted
from clinicadl.layouts import splits
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import folder, ledger, names, outcomes, published, signatures
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Record
from clinicadl.layouts.maps.signatures import Signatures
from clinicadl.tables import sessions


@dataclass(frozen=True)
class AuditedGroup:
    """A data group that models of a MAPS looked at."""

    name: str
    sessions: tuple[Session, ...]
    hashes: dict[Session, str]
    signatures: Signatures
    accepted: str | None
    """Why a leak was accepted."""


@dataclass(frozen=True)
class AuditedMaps:
    """What a MAPS says of who saw whom."""

    path: Path
    opened: Maps | None
    """None for a MAPS of releases 1.x."""
    splits: tuple[TrainingSplit, ...]
    test_tables: tuple[Path, ...]
    ancestors: tuple[Ancestor, ...]
    seen: tuple[Seen, ...]
    groups: tuple[AuditedGroup, ...]
    looks: pd.DataFrame

    def note(self) -> str:
        """Return the line that says what was looked at."""
        release = "" if self.opened else " (of release 1.x)"
        line = (
            f"MAPS: {self.path}{release}: {counted(self.splits, 'split')}, "
            f"{counted(self.groups, 'data group')}"
        )
        evaluations = self.looks[self.looks["event"] == ledger.LOOK]
        for name, looks in evaluations.groupby("group", sort=True):
            line += f"; {counted(len(looks), 'look')} at {name}, the last on {looks['date'].max()}"
        return line

    def drawables(self) -> list[Drawable]:
        """Return what gives images of this MAPS, to be drawn, the best first."""
        known = {key: some for one in self.seen for key, some in one.signatures.items()}
        groups = {key: some for one in self.groups for key, some in one.signatures.items()}
        found = [rescans.shown_by({**groups, **known})]
        return found if self.opened is None else [rescans.seen_images(self.opened), *found]


def read(path: Path) -> AuditedMaps:
    """Return what a MAPS says of who saw whom.

    Raises
    ------
    MissingInputError
        A table of it is absent.
    InvalidDataError
        A file of it is damaged.
    """
    return _published(path) if published.is_one(path) else _ours(path)


def _ours(path: Path) -> AuditedMaps:
    opened = folder.open_maps(path)
    if opened.record.pulled is not None:
        raise MissingInputError(
            "The MAPS was pulled: whom its models have seen is known by hashes alone", where=path,
            fix="Audit without it: predict asks the hashes about each data group",
        )  # fmt: skip
    seen = seen_by(path)
    data = opened.record.config.data
    groups = []
    for name, home in published.groups(path).items():
        group = folder.read_group(path, name)
        groups.append(
            AuditedGroup(
                name,
                tuple(sessions.sessions_of(group.table)),
                folder.image_hashes(group),
                signatures.read(names.group_signatures(home)).get("", {}),
                _accepted(path, name),
            )
        )
    return AuditedMaps(
        path,
        opened,
        tuple(_splits(path)),
        () if data.multi_cohort else tuple(_test_tables(data.tsv_directory)),
        tuple(_ancestors(opened.record, seen)),
        tuple(seen),
        tuple(groups),
        ledger.read(path),
    )


def _published(path: Path) -> AuditedMaps:
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    own = list(_splits(path))
    fitted = [key for one in own for key in (*one.train, *one.validation)]
    everybody = pd.DataFrame(fitted, columns=ids)
    seen = pd.concat([everybody, published.seen(path)[ids]]).drop_duplicates()
    return AuditedMaps(
        path,
        None,
        tuple(own),
        (),
        (),
        tuple(seen_of(seen.assign(image_sha256="", seen_by=""))),
        tuple(
            AuditedGroup(
                name, tuple(sessions.sessions_of(published.group(home).table)), {}, {}, None
            )
            for name, home in published.groups(path).items()
        ),
        ledger.read(path),
    )


def _splits(path: Path) -> Iterator[TrainingSplit]:
    """Yield the splits that the groups of a MAPS record.

    Raises
    ------
    MissingInputError
        Nobody knows whom the models have seen.
    """
    train, validation = (published.numbered(names.group(path, name)) for name in names.OWN_GROUPS)
    absent = sorted({*train} ^ {*validation})
    if absent or not train:
        raise MissingInputError(
            "The MAPS does not say whom its models have seen", where=names.groups(path),
            found=f"train or validation of split {listed(absent)} alone" if absent else "no split",
            fix="Copy the folder groups as well",
        )  # fmt: skip
    for number in train:
        homes = (train[number], validation[number])
        yield TrainingSplit(number, *map(_sessions, homes))


def _sessions(home: Path) -> tuple[Session, ...]:
    return tuple(sessions.sessions_of(published.group(home).table))


def _test_tables(tsv_directory: Path) -> list[Path]:
    """Return the tables of the test sets, as far as they are still there."""
    try:
        return splits.test_tables(tsv_directory)
    except ClinicaDLError:
        # Elsewhere, or changed since: the MAPS itself says who was seen, and that is judged.
        return []


def _ancestors(record: Record, seen: Sequence[Seen]) -> Iterator[Ancestor]:
    known = {one.who: one.sessions for one in seen}
    for parent in record.parents:
        for split, train in parent.train.items():
            yield Ancestor(parent.path, split, train, known.get(parent.path, ()))


def _accepted(path: Path, name: str) -> str | None:
    """Return why the refusals of the guard were overridden when anything was made of a group."""
    for split in names.split_numbers(path):
        for metric in names.selection_metrics(path, split):
            results = names.results(path, split, metric, name)
            done = [results] if outcomes.has_results(path, split, metric, name) else []
            for home in (*done, *names.interpretations(results)):
                reason = read_json(names.guard(home), "verdict of the guard").get("accepted")
                if reason is not None:
                    return str(reason)
    return None


def training(one: AuditedMaps) -> Verdict:
    """Return what the rules of a training say of the splits that were recorded.

    Raises
    ------
    ClinicaDLError
        A table of a test set cannot be read.
    """
    test = [key for path in one.test_tables for key in sessions.sessions_of(sessions.read(path))]
    verdict = check.training(
        one.splits, test=test, test_tables=one.test_tables, ancestors=one.ancestors
    )
    found = (*verdict.findings, *check.rescans(one.splits, signatures_of_training(one)))
    return replace(verdict, findings=tuple(_placed(finding, one) for finding in found))


def signatures_of_training(one: AuditedMaps) -> Signatures:
    """Return what the images of train and validation show, as far as the MAPS keeps it."""
    return next((some.signatures for some in one.seen if some.who == THIS_MAPS), {})


def evaluations(one: AuditedMaps) -> Iterator[tuple[AuditedGroup, Verdict]]:
    """Yield each data group that was recorded, and what the rules of an evaluation say of it."""
    for group in one.groups:
        verdict = check.evaluation(
            group.name, group.sessions, seen=one.seen,
            hashes=group.hashes, signatures=group.signatures,
        )  # fmt: skip
        found = []
        for finding in verdict.findings:
            if group.accepted is not None and finding.severity == "refuse":
                sentence = f"{finding.sentence} (accepted: {group.accepted})"
                finding = replace(finding, sentence=sentence)
            found.append(_placed(finding, one))
        yield group, replace(verdict, findings=tuple(found))


def _placed(finding: Finding, one: AuditedMaps) -> Finding:
    return replace(finding, sentence=f"{one.path}: {finding.sentence}")
