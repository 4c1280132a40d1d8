"""All leakage rules, on tables, CAPS and MAPS of any origin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.audit import AuditConfig, CheckConfig
from clinicadl.engine import audited_images, audited_maps, pairs, rescans
from clinicadl.engine.audited_images import CapsImages
from clinicadl.engine.audited_maps import AuditedMaps
from clinicadl.errors import MissingExtraError, MissingInputError
from clinicadl.guard import audit as tables
from clinicadl.guard import set_tables
from clinicadl.guard.audit import Report
from clinicadl.guard.facts import EvaluationFacts, Finding
from clinicadl.guard.found_sets import EVERYBODY, holds_sets
from clinicadl.guard.likeness import alike
from clinicadl.guard.people import bare
from clinicadl.guard.rules import (
    RESCANNED_IN_TRAINING,
    rescanned,
    seen_images,
    seen_participants,
    seen_sessions,
)
from clinicadl.guard.set_tables import Division
from clinicadl.layouts import caps, files
from clinicadl.layouts.files import refuse_existing, refuse_unwritable, whole_folder, write_json
from clinicadl.layouts.maps import names
from clinicadl.layouts.splits import TEST


class Plan(NamedTuple):
    """What will be looked at; nothing is written yet."""

    config: AuditConfig
    tables: tables.Plan | None
    caps: tuple[Path, ...]
    maps: tuple[Path, ...]


class Found(NamedTuple):
    """What is wrong, by what follows from it."""

    leaks: list[Finding]
    faults: list[Finding]
    warnings: list[Finding]


def audit(config: AuditConfig) -> Report:
    """Audit tables, CAPS and MAPS, of any origin, for leakage.

    Parameters
    ----------
    config
        Which ones.

    Returns
    -------
    What was found; ``report.enforce()`` raises it.

    Raises
    ------
    MissingInputError
        A path is absent, or nothing in it can be audited.
    InvalidDataError
        A MAPS is damaged.
    OutputError
        The JSON file or the folder of pictures exists, or cannot be written.
    MissingExtraError
        Pictures are asked for, and matplotlib is not installed.
    """
    return run(plan(config))


def plan(config: AuditConfig) -> Plan:
    """Return what `audit` would look at; else as it.

    Raises
    ------
    MissingInputError
        A path is absent, or nothing in it can be audited.
    OutputError
        The JSON file or the folder of pictures exists, or cannot be written.
    MissingExtraError
        Pictures are asked for, and matplotlib is not installed.
    """
    for path in (config.json_file, config.pictures):
        if path is not None:
            refuse_existing(path)
            refuse_unwritable(path)
    if config.pictures is not None and pairs.refusal() is not None:
        raise MissingExtraError("matplotlib", "report")
    paths = [*dict.fromkeys(config.paths)]
    found_maps = [path for path in paths if names.record(path).is_file()]
    found_caps = [path for path in paths if (path / caps.SUBJECTS).is_dir()]
    for path in found_caps:
        caps.check(path)
    images_only = {path for path in found_caps if not holds_sets(path)}
    others = [path for path in paths if path not in images_only and path not in found_maps]
    for path in others:
        if path.is_dir():
            _refuse_empty(path)
    checked = None
    if others or config.sets:
        said = {name: getattr(config, name) for name in CheckConfig.model_fields}
        said |= {"paths": tuple(others), "json_file": None}
        checked = tables.plan(CheckConfig(**said))
    return Plan(config, checked, tuple(found_caps), tuple(found_maps))


def _refuse_empty(path: Path) -> None:
    """Refuse a folder that holds nothing.

    Raises
    ------
    MissingInputError
        So it is.
    """
    if not any(files.existing_folder(path, "folder").iterdir()):
        raise MissingInputError(
            "There is nothing to audit: the folder is empty", where=path,
            fix="Give a folder of tables, a CAPS or a MAPS",
        )  # fmt: skip


def run(planned: Plan) -> Report:
    """Return what all rules find, and write what was asked for; else as `audit`."""
    config = planned.config
    maps = [audited_maps.read(path) for path in planned.maps]
    images = [audited_images.read(path) for path in planned.caps]
    report = Report((), (), (), ())
    divisions: tuple[Division, ...] = ()
    if planned.tables is not None:
        read = set_tables.read(planned.tables.config, planned.tables.candidates)
        report, divisions = tables.judged(planned.tables.config, read), read.divisions
    found = Found([*report.leaks], [*report.faults], [*report.warnings])
    notes = [*(one.note() for one in maps), *(one.note() for one in images)]
    for one in maps:
        notes += _of_maps(one, found)
        _add(found, _seen_elsewhere(one, divisions))
        for some in images:
            _add(found, _seen_images(one, some))
    _of_images(images, found)
    if config.pictures is not None:
        drawables = [*(one.drawable() for one in images),
                     *(shown for one in maps for shown in one.drawables())]  # fmt: skip
        found = _with_pictures(found, config.pictures, drawables)
    n_each = {"MAPS": len(maps), "CAPS": len(images)}
    others = tuple(f"{n} {what}" for what, n in n_each.items() if n)
    whole = replace(
        report, leaks=tuple(found.leaks), faults=tuple(found.faults),
        warnings=tuple(found.warnings), notes=tuple(notes), others=others,
    )  # fmt: skip
    if config.json_file is not None:
        write_json(config.json_file, whole.to_record())
    return whole


def _add(found: Found, findings: Iterable[Finding]) -> None:
    for finding in findings:
        (found.leaks if finding.severity == "refuse" else found.warnings).append(finding)


def _of_maps(one: AuditedMaps, found: Found) -> Iterator[str]:
    """Judge a MAPS by itself, and yield what could not be judged."""
    _add(found, audited_maps.training(one).findings)
    if not audited_maps.signatures_of_training(one):
        yield (
            f"not looked at: {one.path}, train and validation: {RESCANNED_IN_TRAINING}: no "
            "signatures of their images are kept"
        )
    for group, verdict in audited_maps.evaluations(one):
        _add(found, verdict.findings)
        for reason in verdict.skipped:
            yield f"not looked at: {one.path}, data group {group.name}: {reason}"


def _seen_elsewhere(one: AuditedMaps, divisions: Sequence[Division]) -> Iterator[Finding]:
    """Yield what a MAPS has seen of the test sets, and of tables that are not divided."""
    for division in divisions:
        for table in division.of(TEST, EVERYBODY):
            who = zip(map(bare, table.people), table.visits, strict=True)
            facts = EvaluationFacts(table.shown, list(dict.fromkeys(who)), one.seen)
            rules = (seen_participants, seen_sessions) if table.has_sessions else (
                seen_participants,
            )  # fmt: skip
            for rule in rules:
                yield from (_of(finding, one, table.shown) for finding in rule(facts))


def _seen_images(one: AuditedMaps, images: CapsImages) -> Iterator[Finding]:
    """Yield images of a CAPS that a MAPS has seen under another name."""
    shown = str(images.caps)
    hashes = {scan.session: scan.sha256 for scan in images.scans}
    facts = EvaluationFacts(shown, list(hashes), one.seen, hashes)
    yield from (_of(finding, one, shown) for finding in seen_images(facts))
    for seen in one.seen:
        found = {
            pair[:2]: pair
            for some in images.signatures_of_kind.values()
            for pair in alike(some, seen.signatures)
            if hashes[pair.one] not in seen.hashes
        }
        place = f"was seen in train or validation by {seen.who}"
        for finding in rescanned([*found.values()], f"of {shown}", place):
            yield _of(finding, one, shown)


def _of(finding: Finding, one: AuditedMaps, shown: str) -> Finding:
    """Return a finding that calls things by what they are here."""
    sentence = finding.sentence.replace(f"data group {shown}", shown, 1)
    return replace(finding, sentence=f"{one.path}: {sentence}")


def _of_images(images: Sequence[CapsImages], found: Found) -> None:
    for one in images:
        found.faults.extend(audited_images.damaged_images(one))
    for these, those in [*((one, one) for one in images), *combinations(images, 2)]:
        found.faults.extend(audited_images.repeated_images(these, those))
        found.warnings.extend(audited_images.rescanned_images(these, those))


def _with_pictures(found: Found, folder: Path, shown: Sequence[rescans.Drawable]) -> Found:
    """Return findings that say where their pairs are drawn, and draw them."""
    number = 0
    drawn: list[list[Finding]] = []
    with whole_folder(folder) as temporary:
        for findings in found:
            some = []
            for finding in findings:
                if finding.pairs:
                    number += 1
                    name = f"pairs-{number}.png"
                    rescans.draw([finding], temporary / name, shown)
                    finding = rescans.with_picture(finding, folder / name)
                some.append(finding)
            drawn.append(some)
    return Found(*drawn)
