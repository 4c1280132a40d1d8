"""The table of leakage rules, one function each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from clinicadl.errors import listed
from clinicadl.guard.facts import Alike, Ancestor, EvaluationFacts, Finding, TrainingFacts
from clinicadl.guard.identity import same_participants, same_sessions
from clinicadl.guard.wording import MOST_SPELLINGS, are, counted, were
from clinicadl.layouts.maps.names import OWN_GROUPS

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.layouts.caps import Session

Name = TypeVar("Name", bound=str | tuple[str, str])
"""A participant or a session."""


RESCANNED, RESCANNED_IN_TRAINING = "re-scanned-images", "re-scanned-training-images"
"""Names of the rules that look at the images themselves."""

LEAVE_OUT = "Leave them out of the table of the data group, with all their sessions"
ONE_ROW = "Keep one row of each session"
TWO_PEOPLE = "If two spellings are two people, let both ids begin with letters, each with its own"


def shared_participants(facts: TrainingFacts) -> Iterator[Finding]:
    """Find participants that are in train and in validation of one split."""
    found = _over_splits(
        (split.number, same_participants(_people(split.validation), _people(split.train)))
        for split in facts.splits
    )
    if found.same:
        yield Finding(
            "shared-participants",
            "refuse",
            f"{counted(found.same, 'participant')} of validation {are(found.same)} also in train "
            f"of {found.where}: {_named(found.same)}",
            tuple(found.same),
            ("Split by participant, as tsvtools split and kfold do", *_if_respelt(found.same)),
        )


def shared_images(facts: TrainingFacts) -> Iterator[Finding]:
    """Find images of validation that are in train of one split under the name of somebody else."""

    def contents(table: Sequence[Session]) -> dict[Session, str]:
        return {one: facts.hashes[one] for one in table if facts.hashes.get(one)}

    found = _over_splits(
        (
            split.number,
            _under_other_names(
                contents(split.validation),
                {content: one for one, content in contents(split.train).items()},
            ),
        )
        for split in facts.splits
    )
    if found.same:
        yield Finding(
            "shared-images",
            "refuse",
            f"{counted(found.same, 'image')} of validation {are(found.same)} also in train of "
            f"{found.where} under another name: {_named(found.same)}",
            tuple(_people(found.same)),
            ("Find out who is on these images, and keep one of each",),
        )


def repeated_training_sessions(facts: TrainingFacts) -> Iterator[Finding]:
    """Find sessions that stand twice in one table of a split."""
    found = _over_splits(
        (split.number, _repeated(table))
        for split in facts.splits
        for table in (split.train, split.validation)
    )
    if found.same:
        yield Finding(
            "repeated-training-sessions",
            "refuse",
            f"{counted(found.same, 'session')} {are(found.same)} twice in one table of "
            f"{found.where}: {_named(found.same)}",
            tuple(_people(found.same)),
            (ONE_ROW, *_if_respelt(found.same)),
        )


def late_split(facts: TrainingFacts) -> Iterator[Finding]:
    """Find participants of train or validation that had been set apart as a test set."""
    test = _people(facts.test)
    found = _over_splits(
        (split.number, same_participants(_people([*split.train, *split.validation]), test))
        for split in facts.splits
    )
    if found.same:
        place = f" that {listed(facts.test_tables)} sets apart" if facts.test_tables else ""
        yield Finding(
            "late-split",
            "refuse",
            f"{counted(found.same, 'participant')} of train or validation of {found.where} "
            f"{are(found.same)} in the test set{place}: {_named(found.same)}",
            tuple(found.same),
            (
                "Make the splits from the train.tsv beside the test set: it holds everybody else",
                *_if_respelt(found.same),
            ),
        )


def biased_transfer(facts: TrainingFacts) -> Iterator[Finding]:
    """Find participants of validation that a source was fitted on in the split of its weights."""
    for who, models in _by_name(facts.ancestors).items():
        found = _over_splits(
            (split.number, same_participants(_people(split.validation), model.train))
            for split in facts.splits
            for model in models
            if model.split == split.number
        )
        if found.same:
            yield Finding(
                "biased-transfer",
                "refuse",
                f"{counted(found.same, 'participant')} of validation of {found.where} "
                f"{are(found.same)} in train of the same split of {who}: {_named(found.same)}",
                tuple(found.same),
                ("Train the source and this model on the same splits", *_if_respelt(found.same)),
            )


def spoilt_test_set(facts: TrainingFacts) -> Iterator[Finding]:
    """Find participants of the test set that a source saw: their evaluation will be refused."""
    test = _people(facts.test)
    for who, models in _by_name(facts.ancestors).items():
        same = same_participants(test, _people(one for model in models for one in model.seen))
        if same:
            yield Finding(
                "spoilt-test-set",
                "warn",
                f"{counted(same, 'participant')} of the test set {were(same)} seen in train or "
                f"validation by {who}, so that predict will refuse to evaluate on the test set: "
                f"{_named(same)}",
                tuple(same),
                ("Train the source without them", *_if_respelt(same)),
            )


def seen_participants(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find participants of the group whom the model or an ancestor of it has seen."""
    group = _people(facts.sessions)
    for one in facts.seen:
        same = same_participants(group, _people(one.sessions))
        if same:
            yield Finding(
                "seen-participants",
                "refuse",
                f"{len(same)} of {counted(group, 'participant')} of data group {facts.group} "
                f"{were(same)} seen in train or validation by {one.who}: {_named(same)}",
                tuple(same),
                (LEAVE_OUT, *_if_respelt(same)),
            )


def seen_sessions(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find sessions of the group that the model or an ancestor of it has seen themselves."""
    for one in facts.seen:
        same = same_sessions(facts.sessions, one.sessions)
        if same:
            yield Finding(
                "seen-sessions",
                "refuse",
                f"{counted(same, 'session')} of data group {facts.group} {were(same)} seen in "
                f"train or validation by {one.who}: {_named(same)}",
                tuple(_people(same)),
                (LEAVE_OUT, *_if_respelt(same)),
            )


def seen_images(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find images of the group that were seen under the name of somebody else."""
    for one in facts.seen:
        same = _under_other_names(_hashes(facts), one.hashes)
        if same:
            yield Finding(
                "seen-images",
                "refuse",
                f"{counted(same, 'image')} of data group {facts.group} {were(same)} seen in train "
                f"or validation by {one.who} under another name: {_named(same)}",
                tuple(_people(same)),
                ("Find out who is on these images", LEAVE_OUT),
            )


def repeated_sessions(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find sessions that stand twice in the group."""
    same = _repeated(facts.sessions)
    if same:
        yield Finding(
            "repeated-sessions",
            "refuse",
            f"{counted(same, 'session')} {are(same)} twice in data group {facts.group}: "
            f"{_named(same)}",
            tuple(_people(same)),
            (ONE_ROW, *_if_respelt(same)),
        )


def repeated_images(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find images that the group holds under the names of several participants."""
    own = _hashes(facts)
    # From the last to the first, so that the first session that has an image owns it.
    owners = {content: one for one, content in reversed(own.items())}
    same = _under_other_names(own, owners)
    if same:
        yield Finding(
            "repeated-images",
            "warn",
            f"{counted(same, 'image')} of data group {facts.group} {are(same)} there under the "
            f"names of several participants, so that each counts several times: {_named(same)}",
            tuple(_people(same)),
            ("Find out who is on these images, and keep one of each",),
        )


def rescanned_images(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find images of the group that show the head of somebody who was seen, or of another of it."""
    if not facts.signatures:
        return
    from clinicadl.guard.likeness import alike  # it computes: only where images are known

    for one in facts.seen:
        pairs = [
            pair
            for pair in alike(facts.signatures, one.signatures)
            # The very same file is refused already.
            if one.hashes.get(facts.hashes.get(pair.one, "")) is None
        ]
        place = f"was seen in train or validation by {one.who}"
        yield from rescanned(pairs, f"of data group {facts.group}", place)
    within = [
        pair
        for pair in alike(facts.signatures)
        if facts.hashes.get(pair.one, pair.one) != facts.hashes.get(pair.other, pair.other)
    ]
    yield from rescanned(within, f"of data group {facts.group}", "is in it as well")


def rescanned_training_images(facts: TrainingFacts) -> Iterator[Finding]:
    """Find images of validation that show the head of somebody in train of the same split."""
    if not facts.signatures:
        return
    from clinicadl.guard.likeness import alike  # it computes: only where images are known

    pairs = alike(facts.signatures)
    across: dict[Alike, None] = {}
    numbers: dict[int, None] = {}
    for split in facts.splits:
        train, validation = set(split.train), set(split.validation)
        for pair in pairs:
            turned = Alike(pair.other, pair.one, pair.similarity)
            for found in (pair, turned):
                if found.one in validation and found.other in train:
                    across[found] = None
                    numbers[split.number] = None
    where = f"split{'s' if len(numbers) > 1 else ''} {listed(numbers)}"
    place = f"is in train of {where}"
    yield from rescanned([*across], "of validation", place, RESCANNED_IN_TRAINING)


def rescanned(
    pairs: Sequence[Alike], of: str, place: str, rule: str = RESCANNED
) -> Iterator[Finding]:
    """Yield a warning of pairs of images, if there are any.

    Parameters
    ----------
    pairs
        The images, those that are blamed first.
    of
        Where the first ones are: ``of validation``.
    place
        Where the second ones are: ``is in train``.
    rule
        Who found them.
    """
    if pairs:
        images = dict.fromkeys(pair.one for pair in pairs)
        named = listed(
            f"{_shown(pair.one)} = {_shown(pair.other)} at {pair.similarity:.2f}" for pair in pairs
        )
        verb = "show" if len(images) > 1 else "shows"
        yield Finding(
            rule,
            "warn",
            f"{counted(images, 'image')} {of} {verb} a head that {place} under another name, as "
            f"far as the images tell: {named}",
            tuple(_people(images)),
            ("Look at the images, and find out who is on them",),
            pairs=tuple(pairs),
        )


def own_group(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find a group that is named as what the model was fitted or chosen on."""
    name = facts.group.strip().casefold()
    if name in OWN_GROUPS:
        yield Finding(
            "own-group",
            "refuse",
            f"{facts.group} is no data group to evaluate on: the model was fitted on train and "
            f"chosen on validation, and its results on both were written when it was trained, in "
            f"the folder {name} beside each of its best models",
            fixes=("Read them there, or give the data group another name",),
            acceptable=False,
        )


def misleading_group(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find a group whose name only contains that of what the model was fitted or chosen on."""
    name = facts.group.strip().casefold()
    meant = [own for own in OWN_GROUPS if own in name]
    if meant and name not in OWN_GROUPS:
        yield Finding(
            "misleading-group",
            "warn",
            f"The name of data group {facts.group} contains {' and '.join(meant)}, so that its "
            "results may be taken for those of the data that the model was made with",
            fixes=("Give it a name that says whom it holds",),
        )


def sealed_group(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find a look at a sealed group, or at its participants under the name of another group."""
    for one in facts.own:
        if not one.is_sealed or one.unsealed:
            continue
        if one.group != facts.group:
            same = same_participants(_people(facts.sessions), _people(one.sessions))
            if same:
                yield Finding(
                    "sealed-group",
                    "refuse",
                    f"{counted(same, 'participant')} of data group {facts.group} {are(same)} in "
                    f"the sealed data group {one.group}: {_named(same)}",
                    tuple(same),
                    (LEAVE_OUT, *_if_respelt(same)),
                )
        elif facts.purpose != "unseal":
            yield Finding(
                "sealed-group",
                "refuse",
                f"{one.group} is sealed: nothing looks at it, and nothing redefines it, before it "
                "is evaluated once",
                fixes=("When the models are chosen, evaluate it with predict --unseal REASON",),
                acceptable=False,
            )


def second_look(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find a look at a group that was sealed, and has had its one evaluation."""
    for one in facts.own:
        if not one.is_sealed or not one.unsealed:
            continue
        is_own = one.group == facts.group
        same = {} if is_own else same_participants(_people(facts.sessions), _people(one.sessions))
        fixes = ("Its result is the one of that day: another one needs another test set",)
        if is_own:
            yield Finding(
                "second-look",
                # What a model rests on is no second number.
                "warn" if facts.purpose == "interpret" else "refuse",
                f"{one.group} was sealed, and had its one evaluation on {one.unsealed}",
                fixes=fixes,
            )
        elif same:
            yield Finding(
                "second-look",
                "refuse",
                f"{counted(same, 'participant')} of data group {facts.group} {were(same)} sealed "
                f"in {one.group}, which had its one evaluation on {one.unsealed}: {_named(same)}",
                tuple(same),
                (*fixes, *_if_respelt(same)),
            )


def late_seal(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find participants who shall be sealed, and were looked at before."""
    for one in facts.own if facts.purpose == "seal" else ():
        same = same_participants(_people(facts.sessions), _people(one.sessions))
        if same and one.n_looks:
            yield Finding(
                "late-seal",
                "refuse",
                f"{counted(same, 'participant')} of data group {facts.group} {were(same)} looked "
                f"at already, in data group {one.group}, so that a seal comes too late: "
                f"{_named(same)}",
                tuple(same),
                ("Seal a test set before the first look at it", *_if_respelt(same)),
            )


def look_of_another_trial(facts: EvaluationFacts) -> Iterator[Finding]:
    """Find an evaluation of people on whom another trial of the same search was evaluated."""
    if facts.purpose not in ("evaluate", "unseal"):
        return
    for one in facts.defined:
        if not one.by or not one.n_looks:
            continue
        same = same_participants(_people(facts.sessions), _people(one.sessions))
        if same:
            yield Finding(
                "look-of-another-trial",
                "refuse",
                f"{one.by} of the same search was evaluated on {counted(same, 'participant')} of "
                f"data group {facts.group}, and whoever compares trials on them chooses by them: "
                f"{_named(same)}",
                tuple(same),
                (
                    "Choose the trial by validation, and evaluate that one alone",
                    *_if_respelt(same),
                ),
            )


TRAINING_RULES: dict[str, Callable[[TrainingFacts], Iterable[Finding]]] = {
    "shared-participants": shared_participants,
    "shared-images": shared_images,
    "repeated-training-sessions": repeated_training_sessions,
    "late-split": late_split,
    "biased-transfer": biased_transfer,
    "spoilt-test-set": spoilt_test_set,
    RESCANNED_IN_TRAINING: rescanned_training_images,
}
"""Rules of a training; name -> function."""

EVALUATION_RULES: dict[str, Callable[[EvaluationFacts], Iterable[Finding]]] = {
    "own-group": own_group,
    "misleading-group": misleading_group,
    "seen-participants": seen_participants,
    "seen-sessions": seen_sessions,
    "seen-images": seen_images,
    "repeated-sessions": repeated_sessions,
    "repeated-images": repeated_images,
    "sealed-group": sealed_group,
    "second-look": second_look,
    "late-seal": late_seal,
    "look-of-another-trial": look_of_another_trial,
    RESCANNED: rescanned_images,
}
"""Rules of an evaluation; name -> function."""


class _Found(NamedTuple, Generic[Name]):
    """What a rule found over all splits: names with their twins, and in which splits."""

    same: dict[Name, tuple[Name, ...]]
    where: str


def _over_splits(found: Iterable[tuple[int, Mapping[Name, tuple[Name, ...]]]]) -> _Found[Name]:
    same: dict[Name, tuple[Name, ...]] = {}
    numbers: dict[int, None] = {}
    for number, twins in found:
        for name, others in twins.items():
            same[name] = tuple(dict.fromkeys([*same.get(name, ()), *others]))
            numbers[number] = None
    return _Found(same, f"split{'s' if len(numbers) > 1 else ''} {listed(numbers)}")


def _people(sessions: Iterable[Session]) -> list[str]:
    return list(dict.fromkeys(participant for participant, _ in sessions))


def _hashes(facts: EvaluationFacts) -> dict[Session, str]:
    """Return the content hashes that are known, in the order of the table."""
    return {one: facts.hashes[one] for one in facts.sessions if facts.hashes.get(one)}


def _by_name(ancestors: Iterable[Ancestor]) -> dict[str, list[Ancestor]]:
    models: dict[str, list[Ancestor]] = {}
    for ancestor in ancestors:
        models.setdefault(ancestor.who, []).append(ancestor)
    return models


def _repeated(table: Sequence[Session]) -> dict[Session, tuple[Session, ...]]:
    """Return the first of each session that stands twice in a table, with the other rows."""
    rows = Counter(table)
    twins: dict[Session, tuple[Session, ...]] = {}
    named: set[Session] = set()
    for session, same in same_sessions(table, table).items():
        others = tuple(one for one in same if one != session or rows[one] > 1)
        if others and session not in named:
            twins[session] = others
            named.update(others)
    return twins


def _under_other_names(
    hashes: Mapping[Session, str], owners: Mapping[str, Session]
) -> dict[Session, tuple[Session, ...]]:
    """Return the sessions whose image is known of somebody else, with that session."""
    twins: dict[Session, tuple[Session, ...]] = {}
    for session, content in hashes.items():
        owner = owners.get(content)
        if owner is not None and not same_participants([session[0]], [owner[0]]):
            twins[session] = (owner,)
    return twins


def _named(same: Mapping[Name, tuple[Name, ...]]) -> str:
    """Return the first names, each with its other spellings."""
    return listed(
        " = ".join(_shown(one) for one in dict.fromkeys([name, *others[:MOST_SPELLINGS]]))
        for name, others in same.items()
    )


def _shown(name: str | Session) -> str:
    return name if isinstance(name, str) else f"({' | '.join(name)})"


def _if_respelt(same: Mapping[Name, tuple[Name, ...]]) -> tuple[str, ...]:
    """Return what to do about a match that is a mistake, where one is possible."""
    respelt = any(_owner(one) != _owner(name) for name, others in same.items() for one in others)
    return (TWO_PEOPLE,) if respelt else ()


def _owner(name: str | Session) -> str:
    return name if isinstance(name, str) else name[0]
