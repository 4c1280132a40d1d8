"""Whom models have seen, told by slow hashes and not by name."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from clinicadl.guard.facts import Ancestor, Seen
from clinicadl.guard.identity import key, visit, without_letters
from clinicadl.layouts.maps.hidden import Hidden, People

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.layouts.caps import Session

SOMEBODY = ("sub-hidden", "ses-hidden")
"""Stands for who is not told: an image of training under a name that was not seen."""

_KEY, _NUMBER = "key", "number"
_N, _R, _P = 8192, 8, 1
"""Costs of scrypt, the ones that `Hidden.hash` names: 8 MiB and some 20 ms for each guess."""
_BYTES = 16


class _Slow(NamedTuple):
    """What a guess at an id is turned into."""

    tag: str
    """What is published."""
    secret: bytes
    """What the sessions of this participant are hashed with, and nobody is told."""


def hide(
    sessions: Iterable[Session],
    images: Iterable[str],
    train: Mapping[int, Collection[str]],
    *,
    who: str = "",
) -> Hidden:
    """Return what a model saw, without a name, under a salt of its own.

    Parameters
    ----------
    sessions
        Everything in train or validation of any split.
    images
        SHA-256 of the images, as far as they are known.
    train
        Split -> participants that it was fitted on; all of them are among the sessions.
    who
        The model; empty for that of the MAPS.
    """
    salt = secrets.token_bytes(_BYTES)
    known = list(dict.fromkeys(sessions))
    participants = list(dict.fromkeys(participant for participant, _ in known))
    slow = _hashed(salt, {own for participant in participants for own in _own(participant)})

    def people(chosen: Iterable[str]) -> People:
        owned = {one for participant in chosen for one in _own(participant)}
        return People(
            keys=tuple(sorted(slow[one].tag for one in owned if one[0] == _KEY)),
            numbers=tuple(sorted(slow[one].tag for one in owned if one[0] == _NUMBER)),
        )

    visits = {
        _fast(slow[own].secret, visit(session))
        for participant, session in known
        for own in _own(participant)
    }
    return Hidden(
        who=who,
        salt=salt.hex(),
        n_participants=len(participants),
        n_sessions=len(known),
        seen=people(participants),
        train={split: people(chosen) for split, chosen in train.items()},
        # Sorted: the order of a table would tell who is who.
        sessions=tuple(sorted(visits)),
        images=tuple(sorted({_fast(salt, one) for one in images if one})),
    )


def seen(
    hidden: Hidden, sessions: Iterable[Session], hashes: Mapping[Session, str], *, this: str
) -> Seen:
    """Return what a model saw of some sessions, by the names that these have here.

    Parameters
    ----------
    hidden
        What it saw.
    sessions
        Whom somebody wants to show it.
    hashes
        SHA-256 of the image of each of them, as far as it is known.
    this
        How a sentence calls the model of this MAPS.
    """
    wanted = list(dict.fromkeys(sessions))
    found = _found(hidden, wanted, _guessed(hidden, wanted))
    salt, images = bytes.fromhex(hidden.salt), set(hidden.images)
    people = {participant for participant, _ in found}
    owners = {
        digest: one if one[0] in people else SOMEBODY
        for one, digest in hashes.items()
        if digest and _fast(salt, digest) in images
    }
    return Seen(hidden.who or this, found, owners)


def ancestors(hidden: Hidden, who: str, sessions: Iterable[Session]) -> Iterator[Ancestor]:
    """Yield what a model was fitted on in each split, by the names that participants have here.

    Parameters
    ----------
    hidden
        What it saw.
    who
        Its name in a sentence.
    sessions
        Who shall be trained, validated or tested on.
    """
    wanted = list(dict.fromkeys(sessions))
    slow = _guessed(hidden, wanted)
    everybody = _found(hidden, wanted, slow)
    for split, people in hidden.train.items():
        fitted = [
            participant
            for participant in dict.fromkeys(participant for participant, _ in wanted)
            if any(_is_among(people, one, slow) for one in _guesses(participant))
        ]
        yield Ancestor(who, split, fitted, everybody)


def _found(
    hidden: Hidden, sessions: Iterable[Session], slow: Mapping[tuple[str, str], _Slow]
) -> tuple[Session, ...]:
    """Return the sessions of those who were seen; of another visit, the session is not told."""
    known = set(hidden.sessions)
    found = []
    for participant, session in sessions:
        matched = [one for one in _guesses(participant) if _is_among(hidden.seen, one, slow)]
        if matched:
            same = any(_fast(slow[one].secret, visit(session)) in known for one in matched)
            found.append((participant, session if same else SOMEBODY[1]))
    return tuple(dict.fromkeys(found))


def _own(participant: str) -> Iterator[tuple[str, str]]:
    """Yield what a participant who was seen is known by: see `identity.same_participants`."""
    spelt = key(participant)
    bare = without_letters(spelt)
    yield _KEY, spelt
    if bare != spelt:
        yield _NUMBER, bare


def _guesses(participant: str) -> Iterator[tuple[str, str]]:
    """Yield under what somebody of this name would be known, had it been seen."""
    spelt = key(participant)
    bare = without_letters(spelt)
    yield _KEY, spelt
    # Who begins with letters may lose them; who does not may gain them. Never both.
    yield (_KEY, bare) if bare != spelt else (_NUMBER, spelt)


def _guessed(hidden: Hidden, sessions: Iterable[Session]) -> dict[tuple[str, str], _Slow]:
    guesses = {one for participant, _ in sessions for one in _guesses(participant)}
    return _hashed(bytes.fromhex(hidden.salt), guesses)


def _is_among(
    people: People, guess: tuple[str, str], slow: Mapping[tuple[str, str], _Slow]
) -> bool:
    return slow[guess].tag in (people.keys if guess[0] == _KEY else people.numbers)


def _hashed(salt: bytes, texts: Collection[tuple[str, str]]) -> dict[tuple[str, str], _Slow]:
    def one(text: tuple[str, str]) -> _Slow:
        whole = hashlib.scrypt(
            ":".join(text).encode(), salt=salt, n=_N, r=_R, p=_P, dklen=3 * _BYTES
        )
        return _Slow(whole[:_BYTES].hex(), whole[_BYTES:])

    # scrypt leaves other threads alone.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(texts, pool.map(one, texts), strict=True))


def _fast(secret: bytes, text: str) -> str:
    return hmac.digest(secret, text.encode(), "sha256")[:_BYTES].hex()
