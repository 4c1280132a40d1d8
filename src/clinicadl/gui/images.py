"""What the images of an experiment are like, from one of them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.plan import extractions_of
from clinicadl.engine.stored import Stored, prepared
from clinicadl.errors import MissingInputError
from clinicadl.layouts import caps, part_files
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.tables import cohorts as cohort_tables
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, Member
from clinicadl.transforms.pipeline import output_shape


@dataclass(frozen=True)
class Images:
    """What all prepared images of an extraction share."""

    mode: str
    n_parts: int
    input_shape: tuple[int, ...]
    """Of what the network gets, channel first."""


def images_of(config: ExperimentConfig) -> Images:
    """Return what the images are like, as the first that is found tells.

    Raises
    ------
    MissingInputError
        The CAPS, the extraction or a tensor is absent.
    InvalidDataError
        The extraction is wrong, or the tensor does not belong to its image any more.
    UsageError
        The mode or a transform cannot take such images.
    """
    data = config.data
    cohorts = cohort_tables.members(
        data.caps_directory, data.tsv_directory,
        is_multi=data.multi_cohort, diagnoses=data.diagnoses,
    )  # fmt: skip
    stored = _stored(cohorts[0], extractions_of(config, cohorts))
    return Images(stored.mode, len(stored.parts), output_shape(config.transforms, stored.shape))


def _stored(cohort: Member, extractions: tuple[Extraction, ...]) -> Stored:
    """Return the tensors of the first session that has any.

    Raises
    ------
    MissingInputError
        No session has.
    """
    first = extractions[0]
    for key in caps.sessions(cohort.caps):
        if _has_tensors(cohort, first, key):
            rows = pd.DataFrame([key], columns=[sessions.PARTICIPANT, sessions.SESSION])
            table = rows.assign(**{COHORT: cohort.name})
            return prepared({cohort.name: cohort.caps}, extractions, table)
    raise MissingInputError(
        "No session of the CAPS has tensors of this extraction", where=cohort.caps,
        found=first.path.name, fix="Run prepare-data first",
    )  # fmt: skip


def _has_tensors(cohort: Member, extraction: Extraction, key: Session) -> bool:
    if extraction.stores_parts:
        parts = part_files.index_parts
        return bool(parts(cohort.caps, extraction.preprocessing, [key], extraction.mode))
    return bool(caps.index_tensors(cohort.caps, extraction.preprocessing, [key]))
