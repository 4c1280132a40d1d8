"""Tensors that another program stored: what they are, and whether they are what they seem."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.base import Choice
from clinicadl.config.mode import SliceMode
from clinicadl.config.preprocessing import Linear
from clinicadl.data import parts, tensors
from clinicadl.data.origin import Origin
from clinicadl.data.parts import Parts
from clinicadl.errors import ClinicaDLError, listed
from clinicadl.layouts import caps, files, images, part_files
from clinicadl.layouts.caps import ImageTensor, Session, StoredImage
from clinicadl.layouts.images import Image
from clinicadl.layouts.masks import Mask

logger = logging.getLogger(__name__)

UNCROPPED_GRID = (193, 229, 193)
_SLICE = re.compile(r"_slice-(\d+)_")


class Adopted(NamedTuple):
    """What was found of some sessions, and what cannot be used."""

    known: dict[Session, tuple[tuple[Path, ...], Origin]]
    wrong: dict[Session, str]
    """Session -> why its tensors cannot be used."""


def of_images(
    directory: Path, preprocessing: Choice, found: Mapping[Session, ImageTensor]
) -> Adopted:
    """Return what the image tensors of another program are, which have no origin.

    A tensor whose image can be read must equal it to the bit. Of one whose image is gone nobody
    knows the place in the world: its affine is None.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    found
        The tensors.

    Raises
    ------
    InvalidDataError
        A session has several images that match.
    """
    adopted = Adopted({}, {})
    sources = caps.index(directory, preprocessing, only=found)
    for key, paths in found.items():
        image = _readable(sources.get(key))
        try:
            tensor = tensors.read(paths.tensor).numpy()
        except ClinicaDLError as error:
            adopted.wrong[key] = error.what
            continue
        if tensor.ndim != 4:
            adopted.wrong[key] = f"its shape is {tensor.shape}"
        elif image is not None and not _is_same(tensor, image.voxels[np.newaxis]):
            adopted.wrong[key] = "it is not what the image holds"
        else:
            where = sources[key].path if image is not None else paths.tensor
            origin = _origin(directory, where, tensor.shape, image)
            adopted.known[key] = (paths.tensor,), origin
    _tell(adopted)
    return adopted


def of_parts(
    directory: Path,
    preprocessing: Choice,
    sessions: Sequence[Session],
    *,
    mode: Choice,
    masks: Sequence[Mask],
) -> Adopted:
    """Return what the part tensors of another program are, of the sessions that have some.

    The shape of the image is that of the image itself, or, if it is gone, of the grid of its
    preprocessing, or follows from the numbers of the slices. Every part must have its tensor, of
    the right shape, and equal to the part of the image to the bit if the image can be read.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    sessions
        Whose parts are needed.
    mode
        Row of `MODES`.
    masks
        What `layouts.masks.read` found for the mode.

    Raises
    ------
    InvalidDataError
        A session has several images that match.
    """
    adopted = Adopted({}, {})
    sources = caps.index(directory, preprocessing, only=sessions)
    for key in sessions:
        source = sources.get(key)
        home = part_files.unclaimed(directory, key, preprocessing, mode.name, source)
        stored = [] if home is None else list(part_files.stored_parts(home).values())
        if home is None or not stored:
            continue
        image = _readable(source)
        shape = _shape(mode, preprocessing, stored, image)
        if shape is None:
            adopted.wrong[key] = "the image is gone, and its grid is not known"
            continue
        wanted = parts.of(mode, shape, masks)
        paths = tuple(part_files.part_tensor(home, name) for name in wanted.names)
        reason = _difference(paths, wanted, image)
        if reason:
            adopted.wrong[key] = reason
            continue
        where = source.path if source is not None and image is not None else paths[0]
        adopted.known[key] = paths, _origin(directory, where, shape, image)
    _tell(adopted)
    return adopted


def _tell(adopted: Adopted) -> None:
    if not adopted.known:
        return
    gone = [key for key, (_, origin) in adopted.known.items() if origin.affine is None]
    logger.warning(
        "the tensors of %d sessions were stored by another program; %d were compared with their "
        "images, of the others the images are gone. prepare-data ties tensors to images for good",
        len(adopted.known), len(adopted.known) - len(gone),
    )  # fmt: skip
    if gone:
        logger.warning("images that are gone: %s", listed(" | ".join(key) for key in gone))


def _readable(source: StoredImage | None) -> Image | None:
    """Return the image, if it is there and is one: a placeholder counts as gone."""
    try:
        return None if source is None else images.read(source.path)
    except ClinicaDLError:
        return None


def _shape(
    mode: Choice, preprocessing: Choice, stored: Sequence[Path], image: Image | None
) -> tuple[int, ...] | None:
    """Return the shape of the image, channel first, as far as it can be known."""
    if image is not None:
        return (1, *image.voxels.shape)
    if isinstance(preprocessing, Linear):
        return (1, *(UNCROPPED_GRID if preprocessing.use_uncropped_image else parts.CROPPED_GRID))
    numbers = [int(found.group(1)) for path in stored if (found := _SLICE.search(path.name))]
    if not isinstance(mode, SliceMode) or not numbers:
        return None
    try:
        axes = list(tensors.read(stored[0]).shape[1:])
    except ClinicaDLError:
        return None
    axes.insert(mode.slice_direction, max(numbers) + 1 + mode.discarded_slices[-1])
    return (1, *axes)


def _difference(paths: Sequence[Path], wanted: Parts, image: Image | None) -> str:
    """Return what is wrong with the tensors of an image's parts; nothing where all is right."""
    import torch

    whole = None if image is None else torch.from_numpy(image.voxels[np.newaxis])
    for index, path in enumerate(paths):
        if not path.exists():
            return f"{path.name} is absent"
        try:
            tensor = tensors.read(path)
        except ClinicaDLError as error:
            return f"{path.name}: {error.what}"
        if tuple(tensor.shape) != wanted.shapes[index]:
            return f"{path.name} has the shape {tuple(tensor.shape)}, not {wanted.shapes[index]}"
        if whole is not None and not _is_same(tensor.numpy(), wanted.cut(whole, index).numpy()):
            return f"{path.name} is not what the image holds"
    return ""


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))


def _origin(directory: Path, where: Path, shape: Sequence[int], image: Image | None) -> Origin:
    """Return an origin, of the image or, if that is gone, of the tensor itself."""
    now = files.status(where, "image")
    affine = None
    if image is not None:
        affine = tuple(tuple(float(cell) for cell in row) for row in image.affine)
    return Origin(
        source=where.relative_to(directory).as_posix(),
        sha256=image.sha256 if image is not None else files.sha256(where),
        n_bytes=now.st_size,
        mtime_ns=now.st_mtime_ns,
        shape=tuple(shape),
        affine=affine,
    )
