"""From images to tensors: one a session, or one a part."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clinicadl.config.base import Choice
from clinicadl.config.mode import ImageMode, RoiMode
from clinicadl.config.prepare import PrepareConfig, Preparing
from clinicadl.config.raw import Grid
from clinicadl.data import origin, parts, shards, tensors
from clinicadl.data.origin import Origin, StoredPart
from clinicadl.data.parts import Affine, Parts
from clinicadl.errors import (
    ClinicaDLError,
    MissingInputError,
    OutputError,
    listed,
)
from clinicadl.layouts import caps, files, grids, images, naming, part_files
from clinicadl.layouts import masks as roi_masks
from clinicadl.layouts.caps import ImageTensor, Session, StoredImage
from clinicadl.layouts.images import Frame, Image
from clinicadl.layouts.masks import Mask
from clinicadl.layouts.part_files import PartFolder
from clinicadl.tables import chosen, failures, sessions
from clinicadl.tables.failures import Failed
from clinicadl.work import Outcome, outcomes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shelf:
    """Where a preparation finds its images."""

    directory: Path
    sessions: Callable[[], list[Session]]
    """All that there are."""
    images: Callable[[Collection[Session]], Mapping[Session, StoredImage]]
    """The image of each of these sessions that has one."""
    source: Callable[[StoredImage], str]
    """The path of an image, relative to the CAPS."""


@dataclass(frozen=True)
class Job:
    """One image, and where its tensor or those of its parts go."""

    image: StoredImage
    source: str
    """Path of the image, relative to the CAPS."""
    target: ImageTensor | PartFolder
    mode: Choice
    masks: tuple[Mask, ...] = ()
    grid: Grid | None = None
    """What the image is resampled to."""


@dataclass(frozen=True)
class Prepared:
    """What was done with one image."""

    n_written: int
    """Tensors that were made."""
    n_kept: int
    """Tensors that were there and belonged to the image."""
    n_undefined: int
    """Voxels that are no number."""

    @property
    def written(self) -> bool:
        """Whether anything was made."""
        return self.n_written > 0


@dataclass(frozen=True)
class PreparePlan:
    """A preparation that can begin."""

    config: Preparing
    jobs: tuple[Job, ...]
    extraction: Path
    content: dict[str, object]
    parts: Parts | None
    """The parts of the first image that can be read; none if no image can."""

    @property
    def failures(self) -> Path:
        """The table of images that failed."""
        return caps.failures(self.extraction, chosen.shard_of(self.config.shard))

    def tensors_of(self, job: Job) -> list[Path]:
        """Return the tensors of an image, if it has the shape of the first."""
        if isinstance(job.target, ImageTensor):
            return [job.target.tensor]
        names = self.parts.names if self.parts else ()
        return [part_files.part_tensor(job.target, name) for name in names]


def prepare_data(config: PrepareConfig) -> Path:
    """Write the tensor of each image of a CAPS, or of its parts, and the JSON that describes them.

    Parameters
    ----------
    config
        The CAPS, the preprocessing, the sessions and the mode.

    Returns
    -------
    The extraction JSON; where Slurm does the work, it is there when the first of the jobs is done.

    Raises
    ------
    PartialError
        Some images failed; the others are done, and a table lists the failures.
    InvalidDataError
        Every image failed, or the CAPS, the table, a mask or the name of the JSON is wrong.
    MissingInputError
        A session has no image, or a region no mask.
    UsageError
        The mode has no part of such images.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    return complete(plan(config))


def complete(planned: PreparePlan) -> Path:
    """Carry a plan out, here or in jobs, and return the extraction JSON.

    Raises
    ------
    PartialError
        Some images failed.
    InvalidDataError
        Every image failed.
    UsageError
        Slurm refused the jobs.
    OutputError
        The CAPS cannot be written any more.
    """
    config, extraction = planned.config, planned.extraction
    if config.jobs.submit is None:
        for _ in run(planned):
            pass
        return extraction
    submitted = shards.submit(config, extraction)
    logger.info("jobs %s; logs in %s", listed(submitted.ids), submitted.folder)
    if config.jobs.submit == "local":
        for _ in shards.finish(submitted, config, extraction, len(planned.jobs)):
            pass
    return extraction


def describe(config: PrepareConfig) -> Path:
    """Write the extraction JSON alone, for tensors that are there already; return it.

    Raises
    ------
    MissingInputError
        A region has no mask.
    InvalidDataError
        The CAPS, a mask or the name of the JSON is wrong.
    OutputError
        The JSON exists and says something else, or cannot be written.
    """
    directory, preprocessing = caps.check(config.caps_directory), config.preprocessing
    path = caps.extraction_path(directory, str(config.extract_json))
    masks = roi_masks.read(directory, config.mode, preprocessing)
    content = caps.extraction_content(
        path, preprocessing, mode=config.mode.name, parts=_keys(config, preprocessing, masks)
    )
    caps.write_extraction(path, content)
    return path


def plan(config: PrepareConfig) -> PreparePlan:
    """Return the plan of a preparation; everything that can be refused is refused.

    Raises
    ------
    MissingInputError
        There is no image at all, or a session has none, or a region has no mask.
    InvalidDataError
        The CAPS, the table, a mask or the name of the JSON is wrong.
    UsageError
        The mode has no part of such images, or masks are asked for in a wrong way.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    directory = caps.check(config.caps_directory)
    return plan_from(
        config,
        config.preprocessing,
        Shelf(
            directory,
            sessions=lambda: caps.sessions(directory),
            images=lambda wanted: caps.index(directory, config.preprocessing, only=wanted),
            source=lambda image: image.path.relative_to(directory).as_posix(),
        ),
    )


def plan_from(config: Preparing, row: Choice, shelf: Shelf) -> PreparePlan:
    """Return the plan of a preparation of images from wherever they are.

    Parameters
    ----------
    config
        The settings.
    row
        Which images are taken, and the grid that they are put on.
    shelf
        Where they are.

    Raises
    ------
    MissingInputError
        There is no image at all, or a session has none, or a region has no mask.
    InvalidDataError
        The table, a mask or the name of the JSON is wrong.
    UsageError
        The mode has no part of such images, or masks are asked for in a wrong way.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    directory = config.caps_directory
    name = config.extract_json or f"extract_{int(time.time())}"
    extraction = caps.extraction_path(directory, name)
    masks = roi_masks.read(directory, config.mode, row)
    content = caps.extraction_content(
        extraction, row, mode=config.mode.name, parts=_keys(config, row, masks)
    )
    stored = _chosen(config, row, shelf)
    caps.refuse_other_extraction(extraction, content)
    files.refuse_unwritable(extraction)
    jobs = tuple(
        Job(one, shelf.source(one), _target(config, row, one), config.mode, masks, grids.of(row))
        for one in chosen.of_shard(stored, config.shard)
    )
    planned = PreparePlan(config, jobs, extraction, content, _first_parts(jobs))
    for job in jobs:
        for path in (job.target.origin, *planned.tensors_of(job)[-1:]):
            files.refuse_unwritable(path)
        _refuse_taken(job)
    if config.jobs.submit is not None:
        shards.refuse(config, extraction, len(jobs))
    return planned


def _keys(config: Preparing, preprocessing: Choice, masks: tuple[Mask, ...]) -> dict[str, object]:
    """Return what the extraction JSON says of the mode."""
    row = config.mode.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    if isinstance(config.mode, RoiMode):
        row |= roi_masks.keys(config.caps_directory, config.mode, preprocessing, masks)
    return {"prepare_dl": config.save_features, **row}


def _target(
    config: Preparing, preprocessing: Choice, image: StoredImage
) -> ImageTensor | PartFolder:
    directory = config.caps_directory
    if config.save_features:
        return part_files.part_folder(directory, image, preprocessing, config.mode.name)
    return caps.image_tensor(directory, image, preprocessing)


def _first_parts(jobs: tuple[Job, ...]) -> Parts | None:
    """Return the parts of the first image that can be read, so that a wrong mode is refused now."""
    for job in jobs:
        if isinstance(job.mode, ImageMode):
            break
        known = _known(job)
        if known is not None:
            return _parts_of(job, known.shape, np.array(known.affine))
        try:
            frame = _frame(job, images.read(job.image.path))
        except ClinicaDLError:
            # It will be listed among the failures.
            continue
        return _parts_of(job, (1, *frame.shape), frame.affine)
    return None


def _frame(job: Job, image: Image) -> Frame:
    """Return where the voxels lie that an image will have."""
    shape = image.voxels.shape
    own = Frame((shape[0], shape[1], shape[2]), image.affine)
    return own if job.grid is None else grids.frame_on(job.grid, own)


def _refuse_taken(job: Job) -> None:
    """Refuse to overwrite the regions of another image, whose names do not tell the image.

    Raises
    ------
    OutputError
        Another image has a region of this name.
    """
    if not isinstance(job.target, PartFolder) or not isinstance(job.mode, RoiMode):
        return
    names = [roi_masks.entities(mask, uncropped_roi=job.mode.uncropped_roi) for mask in job.masks]
    wanted = {part_files.part_tensor(job.target, name) for name in names}
    for other in part_files.neighbours(job.target):
        known = origin.of_parts(other)
        taken = wanted & {
            part_files.part_tensor(other, name) for name in (known.parts if known else ())
        }
        if taken:
            raise OutputError(
                "The tensor of a region was made from another image", where=min(taken),
                found=other.image, fix="Leave out --save_features: regions are cut in training too",
            )  # fmt: skip


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
    failed: list[Failed] = []
    undefined: dict[Path, int] = {}
    # Closed at once when the reader goes away: no process is left behind.
    with closing(outcomes(_prepare, planned.jobs, n_proc=planned.config.n_proc)) as prepared:
        for outcome in prepared:
            if outcome.error is not None:
                image = outcome.job.image
                failed.append(((image.participant, image.session), outcome.error))
            elif outcome.result is not None and outcome.result.n_undefined:
                undefined[outcome.job.image.path] = outcome.result.n_undefined
            yield outcome
    if undefined:
        logger.warning(
            "%d images have voxels that are no number, which count as 0 in training: %s",
            len(undefined), listed(f"{path.name} ({n} voxels)" for path, n in undefined.items()),
        )  # fmt: skip
    failures.write(planned.failures, failed)
    failures.refuse_all(planned.failures, failed, len(planned.jobs))
    caps.write_extraction(planned.extraction, planned.content)
    failures.refuse_some(planned.failures, failed, len(planned.jobs))


def is_prepared(job: Job) -> bool:
    """Return whether the tensors of an image are there already, and nothing is left to do."""
    known = _known(job)
    if known is None:
        return False
    wanted = _parts_of(job, known.shape, np.array(known.affine))
    return not _left_to_do(job, known, wanted)


def _known(job: Job) -> Origin | None:
    """Return the origin of what is stored of an image, if the image is still the same."""
    source, target = job.image.path, job.target
    known = origin.of(target) if isinstance(target, ImageTensor) else origin.of_parts(target)
    if known is None or caps.is_own(known.source) != caps.is_own(job.source):
        return None
    return known if origin.is_unchanged(known, source, files.status(source, "image")) else None


def _parts_of(job: Job, shape: tuple[int, ...], affine: Affine) -> Parts:
    parts.check_grid(job.masks, shape, affine, job.image.path)
    return parts.of(job.mode, shape, job.masks)


def _left_to_do(job: Job, known: Origin, wanted: Parts) -> list[int]:
    """Return the parts that must be made; an image that is known is whole."""
    return [] if isinstance(job.target, ImageTensor) else origin.missing(known, wanted)


def _chosen(config: Preparing, row: Choice, shelf: Shelf) -> list[StoredImage]:
    if config.participants_tsv is None:
        where, wanted = shelf.directory, shelf.sessions()
    else:
        where = config.participants_tsv
        wanted = sessions.sessions_of(sessions.read(where))
    wanted = chosen.labelled(wanted, config.participant_label, where)
    stored = shelf.images(wanted)
    if not stored:
        raise MissingInputError(
            f"There is no image of {row.name} of these sessions", where=shelf.directory,
            found=f"nothing like {naming.pattern(row)} in {len(wanted)} sessions",
            fix="Check the modality and its options",
        )  # fmt: skip
    return caps.select(stored, wanted if config.shard is None else sorted(wanted), where=where)


def _prepare(job: Job) -> Prepared:
    """Write what is missing of one image, then the origin that says that it is complete."""
    source, target = job.image.path, job.target
    # Before the image is read: should it change meanwhile, its time will differ from this one.
    now = files.status(source, "image")
    known = _known(job)
    if known is not None:
        wanted = _parts_of(job, known.shape, np.array(known.affine))
        if not _left_to_do(job, known, wanted):
            if _seen_now(job, known, now) != known:
                _note(job, now)
            return Prepared(0, n_kept=_n_tensors(job, wanted), n_undefined=0)
    image, n_undefined = loaded(job.image.path, job.grid)
    made_from = Origin(
        source=job.source,
        sha256=image.sha256,
        n_bytes=now.st_size,
        mtime_ns=now.st_mtime_ns,
        shape=(1, *image.voxels.shape),
        affine=tuple(tuple(float(cell) for cell in row) for row in image.affine),
    )
    wanted = _parts_of(job, made_from.shape, image.affine)
    with files.turn(target.origin.parent):
        # Another run may have been here since we looked.
        known = _known(job)
        todo = list(range(_n_tensors(job, wanted)))
        if known is not None:
            todo = _left_to_do(job, known, wanted)
        _refuse_taken(job)
        if todo:
            _write(target, image, wanted, todo, made_from)
    n_kept = _n_tensors(job, wanted) - len(todo)
    return Prepared(len(todo), n_kept=n_kept, n_undefined=n_undefined)


def _seen_now(job: Job, known: Origin, now: os.stat_result) -> Origin:
    """Return the origin of the same bytes at the time and the place that they have now."""
    return replace(known, source=job.source, mtime_ns=now.st_mtime_ns)


def _note(job: Job, now: os.stat_result) -> None:
    """Note when and where an image was seen, as in a copy, so that nobody hashes it again."""
    with files.turn(job.target.origin.parent):
        known = _known(job)
        # Otherwise another run has found the image changed, and makes its tensors anew.
        if known is not None:
            origin.write(job.target.origin, _seen_now(job, known, now))


def loaded(path: Path, grid: Grid | None) -> tuple[Image, int]:
    """Return an image as its tensor holds it, and how many of its own voxels are no number.

    Parameters
    ----------
    path
        The image.
    grid
        What it is resampled to; None leaves it where it lies.

    Raises
    ------
    MissingInputError
        It is gone.
    InvalidDataError
        It is damaged, nothing can be learnt from it, or it does not overlap with the grid.
    """
    image = images.read(path)
    n_undefined = images.check_content(image.voxels, path)
    if grid is not None:
        image = grids.onto(image, grid, path)
        images.check_content(image.voxels, path)
    return image, n_undefined


def _n_tensors(job: Job, wanted: Parts) -> int:
    return 1 if isinstance(job.target, ImageTensor) else len(wanted)


def _write(
    target: ImageTensor | PartFolder,
    image: Image,
    wanted: Parts,
    todo: list[int],
    made_from: Origin,
) -> None:
    """Write the tensor of an image, or some of its parts, in our turn."""
    if isinstance(target, PartFolder):
        _write_parts(target, image, wanted, todo, made_from)
        return
    with files.writing(target.origin):
        target.origin.unlink(missing_ok=True)
    tensors.write(target.tensor, image.voxels)
    origin.write(target.origin, made_from)


def _write_parts(
    home: PartFolder, image: Image, wanted: Parts, todo: list[int], made_from: Origin
) -> None:
    """Write some parts of an image, which nothing claims to be whole until they are."""
    import torch

    names = {wanted.names[index] for index in todo}
    claimed = _stored(home, made_from)
    if names & claimed.keys():
        claimed = {name: part for name, part in claimed.items() if name not in names}
        origin.write(home.origin, replace(made_from, parts=claimed))
    elif not claimed:
        with files.writing(home.origin):
            home.origin.unlink(missing_ok=True)
    volume = torch.from_numpy(image.voxels)[None]
    made = {}
    for index in todo:
        name, tensor = wanted.names[index], wanted.cut(volume, index)
        tensors.write_part(part_files.part_tensor(home, name), tensor.numpy())
        start = wanted.window(index).start
        made[name] = StoredPart(tuple(tensor.shape), start, wanted.mask_sha256(index))
    # What was stored with other settings of the mode stays known.
    origin.write(home.origin, replace(made_from, parts={**_stored(home, made_from), **made}))


def _stored(home: PartFolder, made_from: Origin) -> dict[str, StoredPart]:
    """Return the parts of an image that are there, whole, and were made from the same bytes."""
    known = origin.of_parts(home)
    return dict(known.parts) if known is not None and known.sha256 == made_from.sha256 else {}
