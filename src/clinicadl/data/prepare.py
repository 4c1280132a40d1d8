"""From images to tensors, one a session."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinicadl.config.base import Choice
from clinicadl.config.prepare import PrepareConfig
from clinicadl.data import origin, tensors
from clinicadl.data.origin import Origin
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, PartialError
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
        Every image failed, or the CAPS or the table is wrong.
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
        There is no image at all, or a session of the table has none.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    directory, preprocessing = config.caps_directory, config.preprocessing
    name = config.extract_json or f"extract_{int(time.time())}"
    extraction = caps.extraction_path(directory, name)
    content = caps.extraction_content(extraction, preprocessing, mode=MODE)
    stored = caps.index(directory, preprocessing)
    if not stored:
        raise MissingInputError(
            f"The CAPS has no image of {preprocessing.name}", where=directory,
            found=f"nothing like {caps.pattern(preprocessing)}", fix="Check the preprocessing",
        )  # fmt: skip
    chosen = list(stored.values())
    if config.participants_tsv is not None:
        table = sessions.read(config.participants_tsv)
        wanted = sessions.sessions_of(table)
        chosen = caps.select(stored, wanted, where=config.participants_tsv)
    caps.refuse_other_extraction(extraction, content)
    files.refuse_unwritable(extraction)
    jobs = tuple(Job(directory, one, _target(directory, one, preprocessing)) for one in chosen)
    for job in jobs:
        files.refuse_unwritable(job.target.tensor)
    return PreparePlan(config, jobs, extraction, content)


def run(planned: PreparePlan) -> Iterator[Outcome[Job, Prepared]]:
    """Yield what becomes of each image, in order, then write the extraction JSON.

    Raises
    ------
    PartialError
        At the end, if some images failed.
    InvalidDataError
        At the end, if every image failed; then there is no JSON.
    """
    failed: list[tuple[Job, ClinicaDLError]] = []
    for outcome in outcomes(_prepare, planned.jobs, n_proc=planned.config.n_proc):
        if outcome.error is not None:
            failed.append((outcome.job, outcome.error))
        elif outcome.result is not None and outcome.result.n_undefined:
            logger.warning(
                "%s: %d voxels are no number; they count as 0",
                outcome.job.image.path, outcome.result.n_undefined,
            )  # fmt: skip
        yield outcome
    if not failed:
        planned.failures.unlink(missing_ok=True)
        caps.write_extraction(planned.extraction, planned.content)
        return
    _write_failures(planned.failures, failed)
    if len(failed) == len(planned.jobs):
        raise InvalidDataError(
            "Every image failed", where=planned.failures, found=failed[0][1],
            fix="Mend the images, then run the same command again",
        )  # fmt: skip
    caps.write_extraction(planned.extraction, planned.content)
    raise PartialError(
        f"{len(failed)} of {len(planned.jobs)} images failed and were skipped",
        where=planned.failures, found=failed[0][1],
        fix="Mend them and run the same command again, or leave them out of the tables",
    )  # fmt: skip


def _target(directory: Path, image: StoredImage, preprocessing: Choice) -> ImageTensor:
    return caps.image_tensor(directory, image, preprocessing)


def _prepare(job: Job) -> Prepared:
    """Write the tensor of one image, then the origin that makes it count as whole."""
    source, target = job.image.path, job.target
    if origin.is_current(target, source):
        return Prepared(written=False, n_undefined=0)
    stat = source.stat()
    image = images.read(source)
    n_undefined = images.check_content(image.voxels, source)
    target.origin.unlink(missing_ok=True)
    tensors.write(target.tensor, image.voxels)
    made_from = Origin(
        source=source.relative_to(job.directory).as_posix(),
        sha256=image.sha256,
        n_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        shape=(1, *image.voxels.shape),
        affine=tuple(tuple(float(cell) for cell in row) for row in image.affine),
    )
    origin.write(target.origin, made_from)
    return Prepared(written=True, n_undefined=n_undefined)


def _write_failures(path: Path, failed: list[tuple[Job, ClinicaDLError]]) -> None:
    rows = [(job.image.participant, job.image.session, str(error)) for job, error in failed]
    columns = [sessions.PARTICIPANT, sessions.SESSION, "reason"]
    sessions.write(path, pd.DataFrame(rows, columns=columns))
