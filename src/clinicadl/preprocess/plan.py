"""Which images of a data set a pipeline takes, and what becomes of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinicadl.config.base import Choice
from clinicadl.config.preprocess import PreprocessConfig
from clinicadl.config.preprocessing import Linear
from clinicadl.config.raw import Raw
from clinicadl.data import from_bids, shards
from clinicadl.errors import (
    MissingInputError,
    OutputError,
    listed,
)
from clinicadl.layouts import bids, caps, files, images, preprocessed
from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.caps import Session, StoredImage
from clinicadl.layouts.images import Image
from clinicadl.layouts.masks import MASKS
from clinicadl.layouts.preprocessed import Outputs
from clinicadl.preprocess import page, space
from clinicadl.tables import chosen, failures, sessions
from clinicadl.tables.failures import Failed
from clinicadl.work import Outcome, outcomes

logger = logging.getLogger(__name__)

_DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Job:
    """One session, and where what is made of it goes."""

    image: StoredImage
    source: str
    """Path of the image, relative to the CAPS."""
    outputs: Outputs
    settings: Mapping[str, Any]
    """What the result depends on besides the image, as the sidecar says it."""
    config: PreprocessConfig

    @property
    def session(self) -> Session:
        """Whose image it is."""
        return self.image.participant, self.image.session


@dataclass(frozen=True)
class Made:
    """What became of a session."""

    written: bool
    """Whether anything was made; else it was there."""


@dataclass(frozen=True)
class Plan:
    """A pipeline that can begin."""

    config: PreprocessConfig
    preprocessing: Linear
    jobs: tuple[Job, ...]
    make: Callable[[Job], Made]
    """Makes a session; runs in other processes."""

    @property
    def summary(self) -> Path:
        """What the names of tables and logs begin with."""
        return preprocessed.summary(self.config.caps_directory, self.config.title)

    @property
    def page(self) -> Path:
        """The page with the pictures of all sessions."""
        return preprocessed.page(self.config.caps_directory, self.config.title)

    @property
    def failures(self) -> Path:
        """The table of sessions that failed."""
        return caps.failures(self.summary, chosen.shard_of(self.config.shard))


def is_made(job: Job) -> bool:
    """Return whether a session is there already, whole."""
    return not job.config.overwrite and preprocessed.known(job.outputs) is not None


def of(
    config: PreprocessConfig,
    preprocessing: Linear,
    raw: Raw,
    settings: Mapping[str, Any],
    make: Callable[[Job], Made],
) -> Plan:
    """Return the plan of a pipeline; everything that can be refused is refused.

    Parameters
    ----------
    config
        The settings.
    preprocessing
        What the images become.
    raw
        Which images of the data set are taken.
    settings
        What the results depend on besides the images.
    make
        Makes a session.

    Raises
    ------
    MissingInputError
        There is no such image, or a session of the table has none.
    InvalidDataError
        The data set, the CAPS or the table is wrong, or a session has several images that match.
    UsageError
        The jobs are asked for in a wrong way.
    OutputError
        There are other images already, or the CAPS cannot be written.
    """
    home = bids.check(config.bids_directory)
    directory = caps.check_target(config.caps_directory, holds=(MASKS, preprocessed.FOLDER))
    from_bids.refuse_images_of_caps(home, directory)
    if not (home / _DESCRIPTION).is_file():
        logger.warning("%s has no %s, which BIDS asks for", home, _DESCRIPTION)
    stored = _chosen(config, raw, bids.index(home), home)
    jobs = tuple(
        Job(
            one, from_bids.source_of(one, home, directory),
            preprocessed.outputs(directory, one, preprocessing), settings, config,
        )
        for one in chosen.of_shard(stored, config.shard)
    )  # fmt: skip
    planned = Plan(config, preprocessing, jobs, make)
    _refuse_others(jobs)
    for job in jobs:
        files.refuse_unwritable(job.outputs.sidecar)
        files.refuse_unwritable(job.outputs.home / job.outputs.transform)
    files.refuse_unwritable(planned.page)
    if config.jobs.submit is not None:
        shards.refuse(config, planned.summary, len(jobs))
    return planned


def _chosen(
    config: PreprocessConfig, raw: Raw, found: tuple[BidsFile, ...], home: Path
) -> list[StoredImage]:
    table = config.participants_tsv
    where = home if table is None else table
    wanted: list[Session] = (
        from_bids.sessions_with_images(found)
        if table is None
        else sessions.sessions_of(sessions.read(table))
    )
    wanted = chosen.labelled(wanted, config.participant_label, where)
    stored = from_bids.images_of(found, raw, wanted, home)
    if not stored:
        raise MissingInputError(
            f"There is no image for {config.pipeline} in these sessions", where=home,
            found=f"nothing that ends in _{_suffix(raw)}.nii or _{_suffix(raw)}.nii.gz",
            fix="Check the data set and the pipeline",
        )  # fmt: skip
    if table is None:
        without = [" | ".join(key) for key in wanted if key not in stored]
        if without:
            logger.warning("%d sessions have no such image: %s", len(without), listed(without))
        wanted = [key for key in wanted if key in stored]
    return caps.select(stored, sorted(wanted), where=where)


def _suffix(raw: Raw) -> str:
    said: Choice = raw
    return raw.suffix or str(getattr(said, "custom_suffix", "")).partition(".")[0].lstrip("*_")


def _refuse_others(jobs: tuple[Job, ...]) -> None:
    """Refuse to put images where there are others, unless it was asked for.

    Raises
    ------
    OutputError
        There are images of somebody else, of other settings, or of another source.
    """
    others, changed = [], []
    for job in jobs:
        if job.config.overwrite:
            continue
        who = f"{job.image.participant} | {job.image.session}"
        if preprocessed.is_foreign(job.outputs):
            others.append(who)
            continue
        content = preprocessed.known(job.outputs)
        if content is not None and content.get("Settings") != dict(job.settings):
            changed.append(who)
    for who_all, what in (
        (others, "have images that another program made"),
        (changed, "were made with other settings"),
    ):
        if who_all:
            raise OutputError(
                f"{len(who_all)} of {len(jobs)} sessions {what}", found=listed(who_all),
                where=jobs[0].config.caps_directory,
                fix="Make them again with --overwrite, or choose another CAPS",
            )  # fmt: skip


def write(
    staging: Path, outputs: Outputs, image: Image, matrix: space.Matrix, content: Mapping[str, Any]
) -> None:
    """Write an image in MNI space, whole and cropped, and the transform that led there.

    Parameters
    ----------
    staging
        Where the files go.
    outputs
        Their names.
    image
        On the grid of MNI.
    matrix
        World to world, in mm, RAS+, shape (4, 4).
    content
        What the sidecar of the whole image says, and that of the crop with another description.
    """
    crop = np.ascontiguousarray(space.cropped(image.voxels))
    images.write(staging / outputs.image, image.voxels, affine=space.MNI.affine)
    images.write(staging / outputs.crop, crop, affine=space.crop_frame().affine)
    files.write_json(
        staging / outputs.crop_sidecar,
        {**content, "Description": f"{content['Description']}, cropped"},
    )
    space.write_transform(staging / outputs.transform, matrix)


def complete(planned: Plan) -> Path:
    """Carry a plan out, here or in jobs, and return the page that shows the images.

    Raises
    ------
    PartialError
        Some sessions failed.
    InvalidDataError
        Every session failed.
    UsageError
        Slurm refused the jobs.
    OutputError
        The CAPS cannot be written any more.
    """
    if planned.config.jobs.submit is None:
        for _ in run(planned):
            pass
        return planned.page
    submitted = shards.submit(planned.config, planned.summary)
    logger.info("jobs %s; logs in %s", listed(submitted.ids), submitted.folder)
    if planned.config.jobs.submit == "local":
        for _ in shards.finish(submitted, planned.config, planned.summary, len(planned.jobs)):
            pass
    return planned.page


def run(planned: Plan) -> Generator[Outcome[Job, Made], None, None]:
    """Yield what becomes of each session, in order, then write the page that shows them.

    Raises
    ------
    PartialError
        At the end, if some sessions failed.
    InvalidDataError
        At the end, if every session failed.
    OutputError
        The CAPS cannot be written any more.
    """
    failed: list[Failed] = []
    with closing(outcomes(planned.make, planned.jobs, n_proc=planned.config.n_proc)) as made:
        for outcome in made:
            if outcome.error is not None:
                failed.append((outcome.job.session, outcome.error))
            yield outcome
    failures.write(planned.failures, failed)
    page.write(planned.config.caps_directory, planned.config.title, planned.preprocessing)
    failures.refuse_all(planned.failures, failed, len(planned.jobs))
    failures.refuse_some(planned.failures, failed, len(planned.jobs))
