"""Whether the grey matter maps of t1-volume are sound, in the three steps of release 1.6."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.preprocessing import T1Volume
from clinicadl.config.quality_caps import VolumeQualityConfig
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import caps, images
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.images import Frame
from clinicadl.quality import stored
from clinicadl.quality.stored import Mask, Written
from clinicadl.tables import sessions
from clinicadl.tables.quality import PASSED
from clinicadl.work import Outcome, outcomes

PUBLISHED_MASK = "56f699c06cafc62ad8bb5b41b188c7c412d684d810a11d6f4cbb441c0ce944ee"
"""SHA-256 of eyes_segmentation.nii.gz."""
METRICS = "QC_metrics.tsv"
COLUMNS = (PARTICIPANT, SESSION, "max_intensity", "non_zero_percentage", "frontal_similarity")
_LEAST_MAXIMUM = 0.95
_NON_ZERO = (0.15, 0.50)
_BINS = 10


class Region(NamedTuple):
    """The template where the eyes are."""

    places: NDArray[np.intp]
    """Of the voxels of the mask, in the flat image."""
    template: NDArray[np.float32]
    """Tissues added up, at these places."""


class Job(NamedTuple):
    """One map, and what it is compared with."""

    image: StoredImage
    frame: Frame
    region: Region | None


class Measured(NamedTuple):
    """What is measured in one map."""

    maximum: float
    non_zero: float
    """Share of the voxels that are not 0."""
    similarity: float | None
    """With the template where the eyes are; None without their mask."""


class Plan(NamedTuple):
    """A check that can begin."""

    config: VolumeQualityConfig
    jobs: tuple[Job, ...]
    mask: Mask | None

    @property
    def outputs(self) -> list[Path]:
        """The tables that are written."""
        n_steps = 2 if self.mask is None else 3
        steps = [_of_step(self.config, step) for step in range(1, n_steps + 1)]
        return [*steps, self.config.output_directory / METRICS]


def quality_check_t1_volume(config: VolumeQualityConfig) -> Path:
    """Write what is measured in each grey matter map, and which pass each of the three steps.

    Parameters
    ----------
    config
        The maps, the template of their group, and the mask of the eyes.

    Returns
    -------
    The table of what is measured, sorted by the highest intensity.

    Raises
    ------
    MissingInputError
        There is no map or no template, or a session has no map.
    InvalidDataError
        The CAPS, a table, the template or the mask is wrong.
    OutputError
        The tables exist, or cannot be written.
    PartialError
        Some maps could not be looked at; the tables are written, and they do not pass.
    """
    planned = plan(config)
    written = write(planned, look(planned))
    stored.refuse_failed(written.failed, len(planned.jobs))
    return config.output_directory / METRICS


def plan(config: VolumeQualityConfig) -> Plan:
    """Return which maps are compared with what; everything that can be refused is refused.

    Raises
    ------
    MissingInputError
        There is no map or no template, or a session has no map.
    InvalidDataError
        The CAPS, a table, the template or the mask is wrong.
    OutputError
        The tables exist, or cannot be written.
    """
    home = caps.check(config.caps_directory)
    found = stored.select(config, home, T1Volume())
    path = caps.group_template(home, config.group_label)
    template = images.read_stored(path)
    x, y, z, *tissues = template.voxels.shape
    frame, region, mask = Frame((x, y, z), template.affine), None, None
    if not np.isfinite(template.voxels).all() or len(tissues) > 1:
        raise InvalidDataError(
            "The template is no image of tissues", where=path, found=template.voxels.shape,
            fix="Make the template of the group again",
        )  # fmt: skip
    if config.eyes_mask is not None:
        mask = stored.read_mask(config.eyes_mask, PUBLISHED_MASK)
        stored.refuse_other_grid(mask.inside.shape, mask.affine, frame, config.eyes_mask)
        summed = template.voxels.reshape((x, y, z, -1), order="F").sum(axis=-1, dtype=np.float32)
        places = np.flatnonzero(mask.inside)
        region = Region(places, summed.ravel()[places])
    planned = Plan(config, tuple(Job(image, frame, region) for image in found), mask)
    for output in planned.outputs:
        if not config.overwrite:
            refuse_existing(output)
        refuse_unwritable(output)
    return planned


def look(planned: Plan) -> Generator[Outcome[Job, Measured], None, None]:
    """Yield what is measured in each map, in order."""
    with closing(outcomes(_look, planned.jobs, n_proc=planned.config.n_proc)) as found:
        yield from found


def write(planned: Plan, looked: Iterable[Outcome[Job, Measured]]) -> Written:
    """Write the tables; a map that cannot be read does not pass.

    Raises
    ------
    OutputError
        A table cannot be written.
    """
    rows, failed = [], []
    for one in looked:
        if one.error is not None:
            failed.append(one.error)
        cells = one.result or (None, None, None)
        rows.append((one.job.image.participant, one.job.image.session, *cells))
    ordered = sorted(rows, key=lambda row: (-np.inf if row[2] is None else row[2], *row[:2]))
    table = pd.DataFrame(ordered, columns=list(COLUMNS), dtype=object)
    last, passed = 3 if planned.mask is not None else 2, table[table["max_intensity"].notna()]
    for step in range(1, last + 1):
        passed = passed[_of_steps(passed, planned.config)[step - 1]]
        sessions.write(_of_step(planned.config, step), passed)
    if planned.mask is None:
        # One of an earlier check would say more than this one.
        _of_step(planned.config, 3).unlink(missing_ok=True)
    table[PASSED] = table.index.isin(passed.index)
    sessions.write(planned.config.output_directory / METRICS, table)
    return Written(table, tuple(failed))


def _of_step(config: VolumeQualityConfig, step: int) -> Path:
    return config.output_directory / f"pass_step-{step}.tsv"


def _of_steps(table: pd.DataFrame, config: VolumeQualityConfig) -> list[pd.Series[bool]]:
    """Return which maps hold each of the conditions."""
    maximum, non_zero, similarity = (table[name].astype(float) for name in COLUMNS[2:])
    low, high = _NON_ZERO
    return [
        maximum > _LEAST_MAXIMUM,
        (non_zero > low) & (non_zero < high),
        similarity > config.threshold,
    ]


def _look(job: Job) -> Measured:
    voxels = stored.loaded(job.image, job.frame).voxels
    similarity = None
    if job.region is not None:
        places, template = job.region
        similarity = frontal_similarity(template, voxels.ravel()[places], voxels.size)
    non_zero = np.count_nonzero(voxels) / voxels.size
    return Measured(float(voxels.max()), non_zero, similarity)


def frontal_similarity(
    template: NDArray[np.float32], image: NDArray[np.float32], n_voxels: int
) -> float:
    """Return the normalised mutual information of two images that are 0 outside of a region.

    It is 2 MI(A, B) / (MI(A, A) + MI(B, B)), over histograms of 10 x 10 bins.

    Parameters
    ----------
    template, image
        The voxels of the region, shape (n,).
    n_voxels
        Of the whole images, with those outside of the region.

    Returns
    -------
    From 0 to 1; 0 where neither shows anything.
    """
    outside = n_voxels - len(image)
    own = _information(template, template, outside) + _information(image, image, outside)
    return 2 * _information(template, image, outside) / own if own else 0.0


def _information(one: NDArray[np.float32], other: NDArray[np.float32], n_outside: int) -> float:
    """Return the mutual information of two images in nats; outside of a region both are 0."""
    edges = [np.append(values, 0) if n_outside else values for values in (one, other)]
    ranges = [(float(values.min()), float(values.max())) for values in edges]
    counts, *bins = np.histogram2d(one, other, bins=_BINS, range=ranges)
    if n_outside:
        zero = [min(int(np.searchsorted(of, 0, side="right")) - 1, _BINS - 1) for of in bins]
        counts[zero[0], zero[1]] += n_outside
    joint = counts / counts.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())
