"""Which raw images of a BIDS data set are prepared, and on which grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from math import ceil, prod
from pathlib import Path

import numpy as np

from clinicadl.config.prepare import PrepareFromBidsConfig
from clinicadl.config.raw import Grid, Raw
from clinicadl.data import prepare, tensors
from clinicadl.data.prepare import PreparePlan, Shelf
from clinicadl.errors import ClinicaDLError, InvalidDataError, UsageError, listed
from clinicadl.layouts import bids, caps, grids, ids, images
from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.caps import Session, StoredImage
from clinicadl.layouts.images import SUFFIXES, Frame
from clinicadl.layouts.masks import MASKS

logger = logging.getLogger(__name__)

_SAME_SIZE_MM = 0.01


def prepare_data_from_bids(config: PrepareFromBidsConfig) -> Path:
    """Write the tensor of each raw image of a BIDS data set into a CAPS, and the JSON of them all.

    Parameters
    ----------
    config
        The data set, the CAPS, the modality, the grid, the sessions and the mode.

    Returns
    -------
    The extraction JSON; where Slurm does the work, it is there when the first of the jobs is done.

    Raises
    ------
    PartialError
        Some images failed; the others are done, and a table lists the failures.
    InvalidDataError
        Every image failed, or the data set, the CAPS, the table, a mask or the name of the JSON is
        wrong.
    MissingInputError
        A session has no image, or a region no mask.
    UsageError
        The mode has no part of such images, or the grid is too large.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    return prepare.complete(plan(config))


def plan(config: PrepareFromBidsConfig) -> PreparePlan:
    """Return the plan of a preparation; everything that can be refused is refused.

    Raises
    ------
    MissingInputError
        There is no image at all, or a session has none, or a region has no mask.
    InvalidDataError
        The data set, the CAPS, the table, a mask or the name of the JSON is wrong.
    UsageError
        The mode has no part of such images, the grid is too large, or masks are asked for in a
        wrong way.
    OutputError
        The JSON exists and says something else, or the CAPS cannot be written.
    """
    home = bids.check(config.bids_directory)
    directory = caps.check_target(config.caps_directory, holds=(MASKS,))
    refuse_images_of_caps(home, directory)
    modality = config.preprocessing.model_copy(update={"grid": _grid(config)})
    found = bids.index(home)
    planned = prepare.plan_from(
        config,
        modality,
        Shelf(
            home,
            sessions=lambda: sessions_with_images(found),
            images=lambda wanted: images_of(found, modality, wanted, home),
            source=lambda image: source_of(image, home, directory),
        ),
    )
    if modality.grid is None:
        _warn_of_grids([job.image for job in planned.jobs])
    return planned


def refuse_images_of_caps(home: Path, directory: Path) -> None:
    """Refuse the images of the CAPS itself as a BIDS data set: who made them could not be told.

    Raises
    ------
    InvalidDataError
        The data set lies where the CAPS has its images.
    """
    if home.resolve().is_relative_to((directory / caps.SUBJECTS).resolve()):
        raise InvalidDataError(
            "This is the folder of images of the CAPS, not a BIDS data set", where=home,
            fix="Prepare preprocessed images by prepare-data",
        )  # fmt: skip


def _grid(config: PrepareFromBidsConfig) -> Grid | None:
    """Return the grid that was stated.

    Raises
    ------
    UsageError
        It has too many voxels for a tensor.
    """
    grid = None
    if config.like is not None:
        grid = grids.like(config.like, config.interpolation)
    elif config.voxel_size:
        grid = Grid.model_validate(
            {
                "shape": config.grid_size,
                "voxel_size": config.voxel_size,
                "interpolation": config.interpolation,
            }
        )
    if grid is not None and prod(grid.shape) > tensors.MAX_VOXELS:
        raise UsageError(
            "The grid has too many voxels", found=_times(grid.shape),
            fix=f"At most {tensors.MAX_VOXELS} are possible",
        )  # fmt: skip
    return grid


def sessions_with_images(found: Iterable[BidsFile]) -> list[Session]:
    """Return the sessions that have an image, of whatever modality."""
    with_images = (one for one in found if one.path.name.lower().endswith(SUFFIXES))
    return sorted({(one.participant, one.session or ids.ONLY_SESSION) for one in with_images})


def images_of(
    found: Iterable[BidsFile], modality: Raw, wanted: Collection[Session], home: Path
) -> dict[Session, StoredImage]:
    """Return the image of each session; who has no session level has the only session.

    Raises
    ------
    InvalidDataError
        A session has several images that match, or a participant has images in the only session and
        without one.
    """
    keys = set(wanted)
    chosen = [one for one in found if (one.participant, one.session or ids.ONLY_SESSION) in keys]
    stored: dict[Session, StoredImage] = {}
    for one in bids.images(chosen, modality).values():
        key = (one.participant, one.session or ids.ONLY_SESSION)
        if key in stored:
            raise InvalidDataError(
                f"A participant has images in {ids.ONLY_SESSION} and in no session",
                where=home, found=listed([stored[key].path.name, one.path.name]),
                fix="Put all into sessions: without one they are of this session",
            )  # fmt: skip
        stored[key] = StoredImage(*key, one.path)
    return stored


def source_of(image: StoredImage, home: Path, directory: Path) -> str:
    """Return the path of an image as seen from the CAPS, so that both can be moved together."""
    # The root alone is resolved: an image may be a link into a store, whose names say nothing.
    path = home.resolve() / image.path.relative_to(home)
    return Path(os.path.relpath(path, directory.resolve())).as_posix()


def _warn_of_grids(stored: Iterable[StoredImage]) -> None:
    """Say so if the images do not share one grid, and how to bring them to one."""
    on_grid: list[tuple[Frame, list[Session]]] = []
    for image in stored:
        try:
            frame = images.read_frame(image.path)
        except ClinicaDLError:
            # It will be listed among the failures.
            continue
        for other, keys in on_grid:
            if _is_alike(frame, other):
                keys.append((image.participant, image.session))
                break
        else:
            on_grid.append((frame, [(image.participant, image.session)]))
    if len(on_grid) > 1:
        logger.warning(
            "the images lie on %d grids, and a network needs one: %s; to bring them to one, add "
            "for example %s",
            len(on_grid),
            listed(
                f"{_described(frame)} ({listed(' | '.join(key) for key in keys)})"
                for frame, keys in on_grid
            ),
            _suggestion([frame for frame, _ in on_grid]),
        )


def _is_alike(one: Frame, other: Frame) -> bool:
    sizes = [np.linalg.norm(frame.affine[:3, :3], axis=0) for frame in (one, other)]
    turned = [images.orientation(frame.affine) for frame in (one, other)]
    is_near = np.allclose(sizes[0], sizes[1], rtol=0, atol=_SAME_SIZE_MM)
    return one.shape == other.shape and turned[0] == turned[1] and bool(is_near)


def _described(frame: Frame) -> str:
    edges = (round(float(edge), 2) for edge in np.linalg.norm(frame.affine[:3, :3], axis=0))
    turned = images.orientation(frame.affine)
    return f"{_times(frame.shape)} voxels of {_times(edges)} mm, {turned}"


def _suggestion(frames: Iterable[Frame]) -> str:
    """Return options that keep what the coarsest image shows and hold the largest field of view."""
    volumes, extents = [], []
    for frame in frames:
        volumes.append(abs(float(np.linalg.det(frame.affine[:3, :3]))))
        extents.append(np.abs(frame.affine[:3, :3]) @ np.array(frame.shape))
    edge = max(0.5, round(2 * max(volumes) ** (1 / 3)) / 2)
    size = [ceil(float(extent) / edge) for extent in np.max(extents, axis=0)]
    return f"--voxel_size {edge:g} --grid_size {' '.join(map(str, size))}"


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
