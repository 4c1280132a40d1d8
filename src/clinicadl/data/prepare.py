"""From images to tensors, one a session."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from clinicadl.config.prepare import PrepareConfig
from clinicadl.data import origin, tensors
from clinicadl.data.origin import Origin
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    PartialError,
    listed,
)
from clinicadl.layouts import caps, files, images
from clinicadl.layouts.caps import ImageTensor, StoredImage
from clinicadl.tables import sessions
from clinicadl.work import Outcome, outcomes

logger = logging.getLogger(__name__)

MODE = "image"


@dataclass(frozen=True)
class Job:
    """One image, and where its tensor goes."""

    directory: Path
    image: StoredImage
    target: ImageTensor


@dataclass(frozen=True)
class Prepared:
    """What was done with one image."""

    written: bool
    """Whether the tensor was made; otherwise it was there and belonged to its image."""
    n_undefined: int
    """Voxels that are no number."""


@dataclass(frozen=True)
class PreparePlan:
    """A preparation that can begin."""

    config: PrepareConfig
    jobs: tuple[Job, ...]
    extraction: Path
    content: dict[str, object]

    @property
    def failures(self) -> Path:
        """The table of images that failed."""
        return caps.failures(self.extraction)


def prepare_data(config: PrepareConfig) -> Path:
    """Write the tensor of each image of a CAPS, and the JSON that describes them.

    Parameters
    ----------
    config
        The CAPS, the preprocessing and the sessions.

    Returns
    -------
    The extraction JSON.

    Raises
    ------
    PartialError
        Some images failed; the others are done, and a table lists the failures.
    InvalidDataError
        Every image failed, or the CAPS, the table or the name of the JSON is wrong.
    MissingInputError
        A session has no image.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    planned = plan(config)
    for _ in run(planned):
        pass
    return planned.extraction


def plan(config: PrepareConfig) -> PreparePlan:
    """Return the plan of a preparation; everything that can be refused is refused.

    Raises
    ------
    MissingInputError
        There is no image at all, or a session has none.
    InvalidDataError
        The CAPS, the table or the name of the JSON is wrong.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    directory, preprocessing = caps.check(config.caps_directory), config.preprocessing
    name = config.extract_json or f"extract_{int(time.time())}"
    extraction = caps.extraction_path(directory, name)
    content = caps.extraction_content(extraction, preprocessing, mode=MODE)
    chosen = _chosen(config)
    caps.refuse_other_extraction(extraction, content)
    files.refuse_unwritable(extraction)
    jobs = tuple(
        Job(directory, one, caps.image_tensor(directory, one, preprocessing)) for one in chosen
    )
    for job in jobs:
        files.refuse_unwritable(job.target.tensor)
    return PreparePlan(config, jobs, extraction, content)


def run(planned: PreparePlan) -> Generator[Outcome[Job, Prepared], None, None]:
    """Yield what becomes of each image, in order, then write the extraction JSON.

    Raises
    ------
    PartialError
        At the end, if some images failed.
    InvalidDataError
        At the end, if every image failed; then there is no JSON.
    OutputError
        The CAPS cannot be written any more.
    """
    failed: list[tuple[Job, ClinicaDLError]] = []
    undefined: dict[Path, int] = {}
    # Closed at once when the reader goes away: no process is left behind.
    with closing(outcomes(_prepare, planned.jobs, n_proc=planned.config.n_proc)) as prepared:
        for outcome in prepared:
            if outcome.error is not None:
                failed.append((outcome.job, outcome.error))
            elif outcome.result is not None and outcome.result.n_undefined:
                undefined[outcome.job.image.path] = outcome.result.n_undefined
            yield outcome
    if undefined:
        logger.warning(
            "%d images have voxels that are no number, which count as 0 in training: %s",
            len(undefined), listed(f"{path.name} ({n} voxels)" for path, n in undefined.items()),
        )  # fmt: skip
    if not failed:
        planned.failures.unlink(missing_ok=True)
        caps.write_extraction(planned.extraction, planned.content)
        return
    _write_failures(planned.failures, failed)
    if len(failed) == len(planned.jobs):
        raise InvalidDataError(
            f"None of the {len(failed)} images can be used; the reasons are",
            where=planned.failures,
            found=f"first: {failed[0][1]}",
            fix="Mend them, then run the same command again",
        )
    caps.write_extraction(planned.extraction, planned.content)
    raise PartialError(
        f"{len(failed)} of {len(planned.jobs)} images were skipped; the reasons are",
        where=planned.failures,
        found=listed(f"{job.image.participant} | {job.image.session}" for job, _ in failed),
        fix="Mend them and run the same command again, or leave them out of the tables",
    )


def is_prepared(job: Job) -> bool:
    """Return whether the tensor of an image is there already, and nothing is left to do."""
    known = origin.of(job.target)
    source = job.image.path
    return known is not None and origin.is_unchanged(known, source, files.status(source, "image"))


def _chosen(config: PrepareConfig) -> list[StoredImage]:
    directory, preprocessing = config.caps_directory, config.preprocessing
    if config.participants_tsv is None:
        where, wanted = directory, caps.sessions(directory)
    else:
        where = config.participants_tsv
        wanted = sessions.sessions_of(sessions.read(where))
    stored = caps.index(directory, preprocessing, only=wanted)
    if not stored:
        raise MissingInputError(
            f"The CAPS has no image of {preprocessing.name} of these sessions", where=directory,
            found=f"nothing like {caps.pattern(preprocessing)} in {len(wanted)} sessions",
            fix="Check the preprocessing and its options",
        )  # fmt: skip
    return caps.select(stored, wanted, where=where)


def _prepare(job: Job) -> Prepared:
    """Write the tensor of one image, then the origin that says that it is complete."""
    source, target = job.image.path, job.target
    # Before the image is read: should it change meanwhile, its time will differ from this one.
    now = files.status(source, "image")
    known = origin.of(target)
    if known is not None and origin.is_unchanged(known, source, now):
        if known.mtime_ns != now.st_mtime_ns:
            # The same bytes at another time, as in a copy: noted, so that nobody hashes it again.
            origin.write(target.origin, replace(known, mtime_ns=now.st_mtime_ns))
        return Prepared(written=False, n_undefined=0)
    image = images.read(source)
    n_undefined = images.check_content(image.voxels, source)
    with files.writing(target.origin):
        target.origin.unlink(missing_ok=True)
    tensors.write(target.tensor, image.voxels)
    made_from = Origin(
        source=source.relative_to(job.directory).as_posix(),
        sha256=image.sha256,
        n_bytes=now.st_size,
        mtime_ns=now.st_mtime_ns,
        shape=(1, *image.voxels.shape),
        affine=tuple(tuple(float(cell) for cell in row) for row in image.affine),
    )
    origin.write(target.origin, made_from)
    return Prepared(written=True, n_undefined=n_undefined)


def _write_failures(path: Path, failed: list[tuple[Job, ClinicaDLError]]) -> None:
    rows = [
        # One line each: the error of a library may hold tabs and line ends.
        (job.image.participant, job.image.session, " ".join(str(error).split()))
        for job, error in failed
    ]
    columns = [sessions.PARTICIPANT, sessions.SESSION, "reason"]
    sessions.write(path, pd.DataFrame(rows, columns=columns))
