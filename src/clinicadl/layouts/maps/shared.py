"""What a model that is shared says of itself: all but its weights, and nobody's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from clinicadl.config.base import Section
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.hidden import Hidden, Split
from clinicadl.layouts.maps.record import Record

FORMAT = "clinicadl-hub-1"
NOT_SHARED = "not-shared"
"""Stands where a record named a place."""

Word = Annotated[str, Field(max_length=200)]
Metric = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$")]
"""Name of a selection metric, which is part of the name of a folder."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Score(Section):
    """A metric of a model, with its 95 % interval; None where there is none."""

    group: Word
    n_participants: int = Field(ge=0)
    metric: Word
    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class SharedModel(Section):
    """The best model of a split by a metric."""

    split: Split
    metric: Metric
    networks: tuple[Split | None, ...] = Field(min_length=1, max_length=10_000)
    """Numbers of its networks; None where it has one."""
    votes: dict[Word, tuple[tuple[FiniteFloat, ...], ...]]
    """Level -> what its parts, or the model itself among several, have to say."""
    scores: tuple[Score, ...]


class Seen(Section):
    """Who was seen, as a crowd."""

    n_participants: int = Field(ge=0)
    n_sessions: int = Field(ge=0)
    ages: tuple[FiniteFloat, FiniteFloat] | None = None
    """From, to: in steps of five years."""
    sexes: dict[Word, int] = Field(default_factory=dict)
    labels: dict[Word, int] = Field(default_factory=dict)
    """Sessions of each class."""
    cohorts: tuple[Word, ...] = ()


class ChannelDomain(Section):
    """What images of training are like, in one channel."""

    quantiles: tuple[FiniteFloat, ...]
    """Medians over the images, of what the network gets."""
    spreads: tuple[FiniteFloat, ...]
    likeness: tuple[FiniteFloat, ...]
    """Mean image of all, averaged to a few large cells."""
    furthest: FiniteFloat
    """Distance of the quantiles beyond which an image is none of these."""
    least: FiniteFloat
    """Correlation with the mean image below which it is none of these."""


class Domain(Section):
    """What images of training are like."""

    n_images: int = Field(ge=1)
    channels: tuple[ChannelDomain, ...] = Field(min_length=1, max_length=64)


class Stored(Section):
    """A file beside the description."""

    sha256: Sha256
    n_bytes: int = Field(ge=0)


class Shared(Section):
    """A trained MAPS as it is shared."""

    format: Literal["clinicadl-hub-1"] = "clinicadl-hub-1"
    about: str = Field("", max_length=5000)
    """What it is for, in the words of those who share it."""
    licence: str = Field("", max_length=100)
    record: Record
    models: tuple[SharedModel, ...] = Field(min_length=1, max_length=10_000)
    seen: Seen
    hidden: tuple[Hidden, ...] = Field(min_length=1)
    domain: Domain | None = None
    files: dict[str, Stored]
    """Name, with slashes -> what must be there."""


def files_of(shared: Shared) -> set[str]:
    """Return the names of the files that a description needs or allows, but the card and itself."""
    home = Path()
    found = {
        names.weights(home, one.split, one.metric, number).as_posix()
        for one in shared.models
        for number in one.networks
    }
    signatures = names.shared_signatures(home).as_posix()
    return found | ({signatures} & set(shared.files))
