"""The leakage rules on split tables of any origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from clinicadl.config.audit import CheckConfig
from clinicadl.errors import InvalidDataError, LeakageError, MissingInputError, listed
from clinicadl.guard import set_tables
from clinicadl.guard.facts import Finding
from clinicadl.guard.found_sets import EVERYBODY, Candidate, find
from clinicadl.guard.set_rules import (
    LEAKAGE_RULES,
    VALIDITY_RULES,
    Facts,
    class_counts,
    is_quantity,
)
from clinicadl.guard.set_tables import Division
from clinicadl.guard.suspicions import SUSPICIONS
from clinicadl.guard.wording import counted
from clinicadl.layouts.files import refuse_existing, refuse_unwritable, write_json
from clinicadl.layouts.splits import TRAIN
from clinicadl.tables.sessions import DIAGNOSIS

_MOST_SHOWN = 10


@dataclass(frozen=True)
class SetLine:
    """One set that was found."""

    division: str
    role: str
    files: tuple[str, ...]
    n_participants: int
    n_sessions: int
    classes: Mapping[str, int]
    """Class -> participants; empty where there are none, or too many to be shown."""
    inside: str | None
    """The division whose train set it divides."""

    def __str__(self) -> str:
        """Return the line that a person reads."""
        shares = ", ".join(f"{name} {n}" for name, n in self.classes.items())
        name = f"{self.division} {self.role}".strip()
        return (
            f"{name}: {counted(self.n_participants, 'participant')}, "
            f"{counted(self.n_sessions, 'session')}{f' ({shares})' if shares else ''}, in "
            f"{listed(self.files, most=3)}{f'; inside {self.inside}' if self.inside else ''}"
        )


@dataclass(frozen=True)
class Report:
    """What was found in some tables; nothing is raised before `enforce`."""

    sets: tuple[SetLine, ...]
    leaks: tuple[Finding, ...]
    """Participants on both sides: exit code 4."""
    faults: tuple[Finding, ...]
    """Tables that are wrong in themselves: exit code 65."""
    warnings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """What else was looked at, a line each."""
    others: tuple[str, ...] = ()
    """What was looked at beside tables, counted: ``1 MAPS``."""

    @property
    def exit_code(self) -> int:
        """Return the exit code that the findings have together."""
        if self.leaks:
            return LeakageError.exit_code
        return InvalidDataError.exit_code if self.faults else 0

    def lines(self) -> Iterator[str]:
        """Yield a line a set, a line a finding, and a last one."""
        yield from self.notes
        for one in self.sets:
            yield f"set: {one}"
        for word, findings in (
            ("LEAK", self.leaks), ("INVALID", self.faults), ("warning", self.warnings),
        ):  # fmt: skip
            for finding in findings:
                fixes = "".join(f". {fix}" for fix in finding.fixes)
                yield f"{word}: {finding.sentence}{fixes}."
        yield self.summary

    @property
    def summary(self) -> str:
        """Return the last line."""
        n_tables = len({name for one in self.sets for name in one.files})
        counts = (
            counted(self.leaks, "leak"), counted(self.faults, "fault"),
            counted(self.warnings, "warning"),
        )  # fmt: skip
        tables = [counted(n_tables, "table")] if n_tables or not self.others else []
        return f"{', '.join([*self.others, *tables])} checked: {', '.join(counts)}"

    def enforce(self) -> None:
        """Refuse what leaks, then what is invalid.

        Raises
        ------
        LeakageError
            There is a leak.
        InvalidDataError
            There is none, and a table is wrong in itself.
        """
        rules = listed(dict.fromkeys(one.rule for one in (*self.leaks, *self.faults)))
        if self.leaks:
            raise LeakageError(
                "Data leakage",
                found=rules,
                fix="Every line above says what to do",
                code=self.leaks[0].rule,
            )
        if self.faults:
            raise InvalidDataError(
                "What was checked is not valid" if self.others else "The tables are not valid",
                found=rules,
                fix="Every line above says what to do",
                code=self.faults[0].rule,
            )

    def to_record(self) -> dict[str, Any]:
        """Return the report, ready for JSON."""
        levels = (("leak", self.leaks), ("invalid", self.faults), ("warning", self.warnings))
        return {
            "exit_code": self.exit_code,
            **({"notes": list(self.notes)} if self.notes else {}),
            "sets": [
                {
                    "division": one.division,
                    "set": one.role,
                    "files": list(one.files),
                    "participants": one.n_participants,
                    "sessions": one.n_sessions,
                    "classes": dict(one.classes),
                    "inside": one.inside,
                }
                for one in self.sets
            ],
            "findings": [
                {
                    "level": level,
                    "rule": one.rule,
                    "sentence": one.sentence,
                    "participants": list(one.participants),
                    "fixes": list(one.fixes),
                    **({"pairs": [list(pair) for pair in one.pairs]} if one.pairs else {}),
                }
                for level, findings in levels
                for one in findings
            ],
        }


class Plan(NamedTuple):
    """What will be read; nothing is written yet."""

    config: CheckConfig
    candidates: tuple[Candidate, ...]


def check_tables(config: CheckConfig) -> Report:
    """Audit split tables, of any origin, for leakage and for what is wrong in themselves.

    Parameters
    ----------
    config
        Which folders and tables.

    Returns
    -------
    What was found; ``report.enforce()`` raises it.

    Raises
    ------
    MissingInputError
        A path is absent, nothing says which set it is, or a column is nowhere.
    InvalidDataError
        The table of cohorts or of persons is wrong.
    OutputError
        The JSON file exists, or cannot be written.
    """
    planned = plan(config)
    report = audit(planned)
    if config.json_file is not None:
        write_json(config.json_file, report.to_record())
    return report


def plan(config: CheckConfig) -> Plan:
    """Return what `check_tables` would read.

    Raises
    ------
    MissingInputError
        A path is absent, or nothing says which set it is.
    OutputError
        The JSON file exists, or cannot be written.
    """
    if config.json_file is not None:
        refuse_existing(config.json_file)
        refuse_unwritable(config.json_file)
    return Plan(config, tuple(find(config)))


def audit(planned: Plan) -> Report:
    """Return what the rules find.

    Raises
    ------
    MissingInputError
        No table holds a set, or a column that is asked for is nowhere.
    """
    return judged(planned.config, set_tables.read(planned.config, planned.candidates))


def judged(config: CheckConfig, found: set_tables.Found) -> Report:
    """Return what the rules find in sets that were read.

    Raises
    ------
    MissingInputError
        A column that is asked for is nowhere.
    """
    facts = _facts(config, found.divisions)
    warnings = _all(SUSPICIONS, facts)
    errors = _all(LEAKAGE_RULES, facts)
    leaks = [
        one for one in errors if one.severity == "refuse" and one.rule != set_tables.UNREADABLE
    ]
    damaged = [one for one in errors if one.rule == set_tables.UNREADABLE]
    edited = [one for one in errors if one.severity == "warn"]
    faults = (*found.unreadable, *damaged, *_all(VALIDITY_RULES, facts))
    return Report(
        tuple(_sets(facts)), tuple(leaks), tuple(dict.fromkeys(faults)), (*edited, *warnings)
    )


def _all(
    rules: Mapping[str, Callable[[Facts], Iterable[Finding]]], facts: Facts
) -> tuple[Finding, ...]:
    return tuple(finding for rule in rules.values() for finding in rule(facts))


def _facts(config: CheckConfig, divisions: tuple[Division, ...]) -> Facts:
    """Return what the rules look at.

    Raises
    ------
    MissingInputError
        A column that is asked for is nowhere.
    """
    tables = [table for one in divisions for table in one.tables]
    columns = {str(name) for table in tables for name in table.first.columns}
    for column in (config.label, config.group_by):
        if column is not None and tables and column not in columns:
            raise MissingInputError(
                f"No table has a column {column}", where=listed(one.shown for one in tables),
                fix="Correct its name",
            )  # fmt: skip
    label = config.label or (DIAGNOSIS if DIAGNOSIS in columns else None)
    return Facts(divisions, label, config.group_by)


def _sets(facts: Facts) -> Iterator[SetLine]:
    for division in facts.divisions:
        above = [one for one in facts.divisions if division.is_inside(one)]
        nearest = max(above, key=lambda one: len(one.location), default=None)
        for role in sorted(division.roles, key=lambda role: (role != TRAIN, role)):
            tables = division.of(role)
            counts = class_counts(division, role, facts.label) or Counter()
            shown = {} if is_quantity(counts) else dict(sorted(counts.items())[:_MOST_SHOWN])
            yield SetLine(
                division.name if role != EVERYBODY else "",
                role,
                tuple(dict.fromkeys(table.shown for table in tables)),
                len(division.first_of[role]),
                len({one for t in tables for one in zip(t.people, t.visits, strict=True)}),
                shown,
                nearest.name if nearest else None,
            )
