"""Which sessions a command takes: of some participants, and of one shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from clinicadl.errors import MissingInputError, listed
from clinicadl.layouts import ids
from clinicadl.layouts.caps import Session

One = TypeVar("One")


def labelled(found: list[Session], labels: tuple[str, ...], where: Path) -> list[Session]:
    """Return the sessions of the participants that were named, of all if none was.

    Raises
    ------
    MissingInputError
        A participant has no session here.
    """
    if not labels:
        return found
    named = {ids.as_id(label, ids.PARTICIPANT) for label in labels}
    unknown = sorted(named - {participant for participant, _ in found})
    if unknown:
        raise MissingInputError(
            f"{len(unknown)} of {len(named)} participants are not known", where=where,
            found=listed(unknown), fix="Check --participant_label",
        )  # fmt: skip
    return [key for key in found if key[0] in named]


def shard_of(said: str | None) -> tuple[int, int] | None:
    """Return (K, N) of ``K/N``."""
    if said is None:
        return None
    number, _, n_shards = said.partition("/")
    return int(number), int(n_shards)


def of_shard(sorted_ones: Sequence[One], said: str | None) -> Sequence[One]:
    """Return every N-th from the K-th on of ``K/N``, all where nothing is said.

    Examples
    --------
    >>> of_shard("abcde", "2/3")
    'be'
    """
    number, n_shards = shard_of(said) or (1, 1)
    return sorted_ones[number - 1 :: n_shards]
