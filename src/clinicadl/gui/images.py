"""What the images of an experiment are like, from one of them."""

from __future__ import annotations

from dataclasses import dataclass

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.plan import divided, extractions_of
from clinicadl.engine.stored import prepared
from clinicadl.tables.cohorts import COHORT
from clinicadl.transforms.pipeline import output_shape


@dataclass(frozen=True)
class Images:
    """What all prepared images of an extraction share."""

    mode: str
    n_parts: int
    input_shape: tuple[int, ...]
    """Of what the network gets, channel first."""


def images_of(config: ExperimentConfig) -> Images:
    """Return what the images are like, as the first of train tells: a look, and no check of all.

    Raises
    ------
    MissingInputError
        A table, the CAPS, the extraction or the tensor is absent.
    InvalidDataError
        A table or the extraction is wrong, or the tensor does not belong to its image any more.
    UsageError
        The mode or a transform cannot take such images.
    """
    who = divided(config)
    first = who.splits[0].train.head(1)
    caps_of = {one.name: one.caps for one in who.cohorts if one.name in set(first[COHORT])}
    stored = prepared(caps_of, extractions_of(config, who.cohorts), first)
    return Images(stored.mode, len(stored.parts), output_shape(config.transforms, stored.shape))
