"""Whether the raw images of a BIDS data set are sound, before anything is made of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.config.names import nearest
from clinicadl.config.quality_raw import RawQualityConfig
from clinicadl.config.raw import RAW
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    PartialError,
    UsageError,
    listed,
)
from clinicadl.layouts import bids, images
from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.images import SUFFIXES
from clinicadl.quality import raw_facts
from clinicadl.quality.raw_checks import CHECKS, Check, Images, Seen, session_of
from clinicadl.quality.raw_facts import Facts
from clinicadl.tables import chosen, sessions
from clinicadl.tables.quality import PASSED, REASONS
from clinicadl.work import Outcome, outcomes

logger = logging.getLogger(__name__)

ENDING = ".tsv"
PAGE_ENDING = ".html"

Looked = Outcome[BidsFile, Seen]


class Plan(NamedTuple):
    """A check that can begin."""

    config: RawQualityConfig
    files: tuple[BidsFile, ...]
    checks: dict[str, Check]
    """Those that are made, with the severity that they have here."""

    @property
    def written(self) -> list[Path]:
        """All files that are written."""
        return [*self.outputs, *([self.config.page] if self.config.page else [])]

    @property
    def outputs(self) -> tuple[Path, Path, Path]:
        """The tables of the sessions, of what was found, and of the images."""
        path = self.config.output_tsv
        findings, every = (f"{path.stem}_{name}{ENDING}" for name in ("findings", "images"))
        return path, path.with_name(findings), path.with_name(every)


class Finding(NamedTuple):
    """Something that is wrong with a file."""

    seen: Seen
    check: str
    severity: str
    what: str


class Verdict(NamedTuple):
    """What was found in all images."""

    seen: tuple[Seen, ...]
    findings: tuple[Finding, ...]
    """By the order of the table of checks."""
    unseen: tuple[Looked, ...]
    """Files that could not be looked at, which says nothing of what is in them."""

    @property
    def n_failed(self) -> int:
        """Number of images with an error."""
        return len({one.seen.file.path for one in self.findings if one.severity == "error"})


def plan(config: RawQualityConfig) -> Plan:
    """Return which images are checked for what; everything that can be refused is refused.

    Raises
    ------
    UsageError
        A check has another name, or the table is none.
    MissingInputError
        There is no image, or a participant is not known.
    InvalidDataError
        This is no BIDS data set, or the table of sessions is wrong.
    OutputError
        A table exists, or cannot be written.
    """
    if config.output_tsv.suffix != ENDING:
        raise UsageError(
            "The table has another ending", where="OUTPUT_TSV", found=config.output_tsv,
            fix=f"End its name in {ENDING}",
        )  # fmt: skip
    if config.page is not None and config.page.suffix != PAGE_ENDING:
        raise UsageError(
            "The page has another ending", where="--page", found=config.page,
            fix=f"End its name in {PAGE_ENDING}",
        )  # fmt: skip
    checks = _checks(config)
    home = bids.check(config.bids_directory)
    planned = Plan(config, tuple(_files(config, bids.index(home))), checks)
    for path in planned.written:
        if not config.overwrite:
            refuse_existing(path)
        refuse_unwritable(path)
    if config.shard is not None:
        logger.warning("images that show the same are found within a shard only")
    return planned


def look(planned: Plan) -> Generator[Looked, None, None]:
    """Yield what every file says, in order; one that cannot be read says so."""
    with closing(outcomes(_look, planned.files, n_proc=planned.config.n_proc)) as found:
        yield from found


def judged(planned: Plan, looked: Iterable[Looked]) -> Verdict:
    """Return what is wrong with the files that could be looked at."""
    seen, unseen = [], []
    for one in looked:
        if one.result is None:
            unseen.append(one)
        else:
            seen.append(one.result)
    every = Images(tuple(seen))
    findings = [
        Finding(seen[found.number], name, check.severity, found.what)
        for name, check in planned.checks.items()
        for found in check.finds(every)
    ]
    return Verdict(every.seen, tuple(findings), tuple(unseen))


def write(planned: Plan, verdict: Verdict) -> None:
    """Write the three tables, that of the sessions last.

    Raises
    ------
    OutputError
        A table cannot be written.
    """
    of_sessions, of_findings, of_images = planned.outputs
    home = planned.config.bids_directory
    sessions.write(of_images, _of_images(verdict, home))
    sessions.write(of_findings, _of_findings(verdict, home))
    sessions.write(of_sessions, _of_sessions(verdict))


def refuse_unseen(planned: Plan, verdict: Verdict) -> None:
    """Say which files could not be looked at, once the tables are written.

    Raises
    ------
    PartialError
        There are such files.
    """
    if verdict.unseen:
        raise PartialError(
            f"{len(verdict.unseen)} of {len(planned.files)} images could not be looked at",
            where=planned.config.bids_directory, found=listed(one.error for one in verdict.unseen),
            fix="Their sessions neither pass nor fail: mend it, then run the same command again",
        )  # fmt: skip


def _checks(config: RawQualityConfig) -> dict[str, Check]:
    """Return the checks that are made.

    Raises
    ------
    UsageError
        A check has another name.
    """
    for flag, names in (("--ignore", config.ignore), ("--fail", config.fail)):
        for name in names:
            if name not in CHECKS:
                raise UsageError(
                    "There is no such check", where=flag, found=name,
                    fix=f"The nearest are {', '.join(nearest(name, CHECKS))}",
                )  # fmt: skip
    return {
        name: Check("error", check.finds, check.advice) if name in config.fail else check
        for name, check in CHECKS.items()
        if name not in config.ignore
    }


def _files(config: RawQualityConfig, found: Sequence[BidsFile]) -> list[BidsFile]:
    """Return the images that are checked.

    Raises
    ------
    MissingInputError
        There is none, or a participant is not known.
    """
    mine = _of_modalities(config, found)
    there = sorted({session_of(one) for one in mine})
    where, wanted = config.bids_directory, there
    if config.participants_tsv is not None:
        where = config.participants_tsv
        wanted = sorted(sessions.sessions_of(sessions.read(where)))
        absent = sorted({*wanted} - {*there})
        if absent:
            logger.warning(
                "%d of %d sessions have no image to check: %s",
                len(absent), len(wanted), listed(" | ".join(key) for key in absent),
            )  # fmt: skip
    labelled = chosen.labelled(wanted, config.participant_label, where)
    keys = {*chosen.of_shard(labelled, config.shard)}
    kept = [one for one in mine if session_of(one) in keys]
    if not kept:
        raise MissingInputError(
            "None of these sessions has an image to check", where=where,
            fix="Check the table, --participant_label and --shard",
        )  # fmt: skip
    return kept


def _of_modalities(config: RawQualityConfig, found: Sequence[BidsFile]) -> list[BidsFile]:
    """Return the images of the modalities that are checked.

    Raises
    ------
    MissingInputError
        There is none of one of them.
    """
    every = [one for one in found if one.path.name.lower().endswith(SUFFIXES)]
    present = {one.suffix.lower(): one.suffix for one in every}
    # The published names of modalities are understood too.
    wanted = [RAW[one].suffix or one if one in RAW else one for one in config.modality]
    absent = [one for one in wanted if one.lower() not in present]
    if absent or not every:
        raise MissingInputError(
            f"There is no image of {listed(absent)}" if every else "There is no image",
            where=config.bids_directory,
            found=f"images that end in {listed(sorted(present.values()))}" if every else None,
            fix="Check the path and --modality",
        )  # fmt: skip
    kept = {one.lower() for one in wanted} or {*present}
    return [one for one in every if one.suffix.lower() in kept]


def _look(file: BidsFile) -> Seen:
    try:
        return Seen(file, raw_facts.read(file.path), "")
    except InvalidDataError as error:
        return Seen(file, None, _said(error))


def _said(error: InvalidDataError) -> str:
    """Return what is wrong in one line, without the path, which has a column of its own."""
    found = f" ({error.found})" if error.found is not None else ""
    return " ".join(f"{error.what}{found}".split())


def _name(seen: Seen, home: Path) -> str:
    return seen.file.path.relative_to(home).as_posix()


def _of_sessions(verdict: Verdict) -> pd.DataFrame:
    n_images = Counter(seen.session for seen in verdict.seen)
    unseen = {session_of(one.job) for one in verdict.unseen}
    named: dict[tuple[Session, str], dict[str, None]] = {}
    for one in verdict.findings:
        # The names of a dictionary are in order, and each is there once.
        named.setdefault((one.seen.session, one.severity), {})[one.check] = None
    rows = []
    for key in sorted({*n_images, *unseen}):
        errors, warnings = (named.get((key, severity)) for severity in ("error", "warning"))
        # What was not looked at cannot pass, but other images of the session may have failed.
        passed = False if errors else None if key in unseen else True
        texts = (", ".join(names) if names else None for names in (errors, warnings))
        rows.append((*key, n_images[key], *texts, passed))
    columns = [PARTICIPANT, SESSION, "n_images", REASONS, "warnings", PASSED]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _of_findings(verdict: Verdict, home: Path) -> pd.DataFrame:
    rows = [
        (*one.seen.session, _name(one.seen, home), one.check, one.severity, one.what,
         CHECKS[one.check].advice)
        for one in verdict.findings
    ]  # fmt: skip
    columns = [PARTICIPANT, SESSION, "file", "check", "severity", "found", "advice"]
    return pd.DataFrame(sorted(rows), columns=columns, dtype=object)


def _of_images(verdict: Verdict, home: Path) -> pd.DataFrame:
    rows = [
        {PARTICIPANT: seen.session[0], SESSION: seen.session[1], "file": _name(seen, home),
         **_numbers(seen.facts)}
        for seen in sorted(verdict.seen, key=lambda seen: (*seen.session, _name(seen, home)))
    ]  # fmt: skip
    return pd.DataFrame(rows, dtype=object)


def _numbers(facts: Facts | None) -> dict[str, object]:
    """Return the columns of an image, all of them empty of one that could not be read."""
    looks = None if facts is None else facts.looks
    return {
        "shape": facts and "x".join(map(str, facts.shape)),
        "voxel_size": facts and "x".join(f"{edge:.4g}" for edge in facts.voxel_size),
        "orientation": facts and images.orientation(facts.affine),
        "low": facts and f"{facts.low:g}",
        "high": facts and f"{facts.high:g}",
        "clipped": looks and f"{looks.clipped:.6f}",
        "contrast": looks and f"{looks.contrast:.4f}",
        "contrast_to_noise": looks and f"{looks.contrast_to_noise:.2f}",
        "levels": looks and looks.n_levels,
    }
