"""The verdict of the leakage guard on a training or an evaluation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clinicadl.errors import LeakageError, UsageError, listed
from clinicadl.guard.facts import (
    Ancestor,
    Defined,
    EvaluationFacts,
    Finding,
    Purpose,
    Seen,
    TrainingFacts,
    TrainingSplit,
)
from clinicadl.guard.rules import (
    EVALUATION_RULES,
    RESCANNED,
    RESCANNED_IN_TRAINING,
    TRAINING_RULES,
)

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.guard.likeness import Signatures
    from clinicadl.layouts.caps import Session

ACCEPT = (
    "To evaluate in spite of it, say why with --accept-leakage REASON: the reason is written "
    "beside every number"
)


@dataclass(frozen=True)
class Verdict:
    """What the guard says of a training or an evaluation."""

    findings: tuple[Finding, ...] = ()
    accepted: str | None = None
    """Why the refusals are overridden; set by `enforce`."""
    way_out: str = ""
    """How the user can give such a reason, as a sentence; empty where there is no option for it."""
    skipped: tuple[str, ...] = ()
    """What could not be looked at, and why, a sentence each."""

    def enforce(self, accept: str | None) -> Verdict:
        """Return the verdict to record, if the work may go on.

        Parameters
        ----------
        accept
            Why a refusal is overridden, in the words of the user; nobody overrides it when None.

        Returns
        -------
        This verdict, which bears the reason if there was a refusal to override.

        Raises
        ------
        LeakageError
            A rule refuses, and there is no reason or the refusal takes none.
        UsageError
            The reason is blank.
        """
        if accept is not None and not accept.strip():
            raise UsageError("Leakage cannot be accepted without a reason", fix="Say why it may be")
        refusals = [finding for finding in self.findings if finding.severity == "refuse"]
        if not refusals:
            return self
        acceptable = all(finding.acceptable for finding in refusals)
        if accept is not None and acceptable:
            return replace(self, accepted=accept.strip())
        fixes = [fix for finding in refusals for fix in finding.fixes]
        if self.way_out and acceptable:
            fixes.append(self.way_out)
        raise LeakageError(
            f"Data leakage: {'; '.join(finding.sentence for finding in refusals)}",
            fix=". ".join(dict.fromkeys(fixes)),
            code=refusals[0].rule,
        )

    def to_record(self) -> dict[str, Any]:
        """Return what a MAPS keeps of the verdict, ready for JSON."""
        return {
            "accepted": self.accepted,
            "findings": [
                {
                    "rule": finding.rule,
                    "severity": finding.severity,
                    "sentence": finding.sentence,
                    "participants": list(finding.participants),
                }
                for finding in self.findings
            ],
            **({"skipped": list(self.skipped)} if self.skipped else {}),
        }


def training(
    splits: Sequence[TrainingSplit],
    *,
    test: Collection[Session] = (),
    test_tables: Sequence[object] = (),
    ancestors: Sequence[Ancestor] = (),
    edits: Sequence[Finding] = (),
    cohorts: Mapping[str, Collection[str]] | None = None,
    hashes: Mapping[Session, str] | None = None,
) -> Verdict:
    """Return what the guard says before a training.

    Parameters
    ----------
    splits
        Every split that the tables define, also those that are not trained.
    test
        The test sets that were set apart before the splits were made.
    test_tables
        The tables of the test sets, for the message.
    ancestors
        Models whose weights come in: the source, its source, and so on; one for each split.
    edits
        What `clinicadl.guard.proof.check` found in the tables.
    cohorts
        The cohorts of each participant, where there are several. One name in two of them counts as
        one person.
    hashes
        Content hash of the source image of each session, as far as it is known.

    Returns
    -------
    The verdict; nothing is raised before `Verdict.enforce`.
    """
    facts = TrainingFacts(splits, test, test_tables, ancestors, hashes or {})
    found = (found for rule in TRAINING_RULES.values() for found in rule(facts))
    return Verdict((*edits, *(_with_cohorts(one, cohorts or {}) for one in found)))


def rescans(splits: Sequence[TrainingSplit], signatures: Signatures) -> tuple[Finding, ...]:
    """Return what the images of a training tell of heads that are on both sides of a split.

    Parameters
    ----------
    splits
        Every split that the tables define.
    signatures
        What the images of train and validation show.
    """
    facts = TrainingFacts(splits, signatures=signatures)
    return tuple(TRAINING_RULES[RESCANNED_IN_TRAINING](facts))


def _with_cohorts(finding: Finding, cohorts: Mapping[str, Collection[str]]) -> Finding:
    """Return a finding whose sentence says which cohorts its participants are from."""
    homes = [
        f"{one} of {' and '.join(cohorts[one])}" for one in finding.participants if one in cohorts
    ]
    if not homes:
        return finding
    return replace(finding, sentence=f"{finding.sentence} ({listed(homes)})")


def evaluation(
    group: str,
    sessions: Sequence[Session],
    *,
    seen: Sequence[Seen],
    hashes: Mapping[Session, str],
    edits: Sequence[Finding] = (),
    defined: Sequence[Defined] = (),
    purpose: Purpose = "evaluate",
    signatures: Signatures | None = None,
) -> Verdict:
    """Return what the guard says before a trained model looks at a data group.

    Parameters
    ----------
    group
        Name of the data group.
    sessions
        The sessions of its table, in its order.
    seen
        What the model saw, and what each of its ancestors saw.
    hashes
        Content hash of the source image of each session, as far as it is known.
    edits
        What `clinicadl.guard.proof.check` found in the tables of the group.
    defined
        The data groups that there are already, and what became of them.
    purpose
        What the group is looked at for.
    signatures
        What the image of each session shows of a head, as far as it is known.

    Returns
    -------
    The verdict; nothing is raised before `Verdict.enforce`.
    """
    facts = EvaluationFacts(group, sessions, seen, hashes, defined, purpose, signatures or {})
    found = (found for rule in EVALUATION_RULES.values() for found in rule(facts))
    return Verdict((*edits, *found), way_out=ACCEPT, skipped=tuple(_skipped(facts)))


def _skipped(facts: EvaluationFacts) -> Iterator[str]:
    """Yield which images nobody compared with those of the group, and why."""
    if facts.sessions and not facts.signatures:
        yield f"{RESCANNED}: the images of data group {facts.group} have no signatures"
        return
    if not facts.seen or not facts.sessions:
        return
    from clinicadl.guard.likeness import LEAST_PARTICIPANTS, can_be_judged

    for one in facts.seen:
        if not can_be_judged(one.signatures):
            yield (
                f"{RESCANNED}: there are signatures of fewer than {LEAST_PARTICIPANTS} "
                f"participants seen by {one.who}"
            )
