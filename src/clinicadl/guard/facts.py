"""What the guard knows before it decides, and what it can find."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.guard.likeness import Signatures
    from clinicadl.layouts.caps import Session

Severity = Literal["refuse", "warn"]
Purpose = Literal["evaluate", "interpret", "seal", "unseal"]
"""What a data group is looked at for; to seal it is to look at nobody."""


@dataclass(frozen=True)
class TrainingSplit:
    """The sessions of one split, as its two tables list them."""

    number: int
    train: Sequence[Session]
    validation: Sequence[Session]


@dataclass(frozen=True)
class Ancestor:
    """What one model saw whose weights came into this one, in the split that they come from."""

    who: str
    """Name or path of its MAPS, as it stands in a sentence."""
    split: int
    train: Collection[str]
    """Participants that it was fitted on in this split."""
    seen: Collection[Session] = ()
    """Everybody that it saw in train or validation of any split."""


@dataclass(frozen=True)
class Seen:
    """All that one model saw in train or validation, of any split, trained or not."""

    who: str
    """Name or path of its MAPS, as it stands in a sentence: "this MAPS"."""
    sessions: Collection[Session]
    hashes: Mapping[str, Session] = field(default_factory=dict)
    """Content hash of a source image -> its session, where it is known."""
    signatures: Signatures = field(default_factory=dict)
    """What each image shows of a head, where it is known."""


@dataclass(frozen=True)
class TrainingFacts:
    """What is known before the first epoch."""

    splits: Sequence[TrainingSplit]
    test: Collection[Session] = ()
    """Test sets that were set apart before these splits were made."""
    test_tables: Sequence[object] = ()
    """Where the test sets are recorded."""
    ancestors: Sequence[Ancestor] = ()
    hashes: Mapping[Session, str] = field(default_factory=dict)
    """Content hash of the source image of each session, where it is known."""
    signatures: Signatures = field(default_factory=dict)
    """What the images of train and validation show of a head, where it is known."""


@dataclass(frozen=True)
class Defined:
    """A data group of the MAPS, and what became of it."""

    group: str
    sessions: Collection[Session]
    is_sealed: bool = False
    """Whether it was defined to be looked at once."""
    unsealed: str = ""
    """When that was; empty before."""
    n_looks: int = 0
    by: str = ""
    """The other trial of the same search whose group it is; empty: this MAPS."""


@dataclass(frozen=True)
class EvaluationFacts:
    """What is known before the first prediction."""

    group: str
    sessions: Sequence[Session]
    seen: Sequence[Seen] = ()
    hashes: Mapping[Session, str] = field(default_factory=dict)
    """Content hash of the source image of each session, where it is known."""
    defined: Sequence[Defined] = ()
    """The data groups that there are already, those of other trials of the search included."""
    purpose: Purpose = "evaluate"
    signatures: Signatures = field(default_factory=dict)
    """What each image shows of a head, where it is known."""

    @property
    def own(self) -> list[Defined]:
        """The data groups of this MAPS."""
        return [one for one in self.defined if not one.by]


class Alike(NamedTuple):
    """Two images under different names that seem to show one head."""

    one: Session
    other: Session
    similarity: float
    """Correlation of what is left of both without what all heads share; 1 for equal voxels."""


@dataclass(frozen=True)
class Finding:
    """What one rule has against a training or an evaluation."""

    rule: str
    severity: Severity
    sentence: str
    """What is wrong, how often, and the first ten by name."""
    participants: tuple[str, ...] = ()
    """All of them, as the table that was checked spells them."""
    fixes: tuple[str, ...] = ()
    """What the user can do, each a sentence of its own."""
    acceptable: bool = True
    """Whether a reason can override a refusal."""
    pairs: tuple[Alike, ...] = ()
    """Images that show one head under two names, the most alike first."""
