"""Regions of the brain on the grid of an image: from masks, or from a label map."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import images
from clinicadl.layouts.images import Image
from clinicadl.layouts.masks import region_names
from clinicadl.synthesis.masks import Mask, read_mask

Side = Literal["left", "right"]

_SIDES: tuple[tuple[Side, re.Pattern[str]], ...] = (
    ("left", re.compile(r"(^|[^a-z])(l|lh|left)([^a-z]|$)", re.IGNORECASE)),
    ("right", re.compile(r"(^|[^a-z])(r|rh|right)([^a-z]|$)", re.IGNORECASE)),
)


class Regions(NamedTuple):
    """Where something happens, before it is brought to the grid of an image."""

    masks: tuple[Mask, ...]
    names: tuple[str, ...]
    """Of the masks' files, or of the regions of the label map."""


def of_masks(paths: Sequence[Path]) -> Regions:
    """Return the regions of masks.

    Raises
    ------
    MissingInputError
        A mask is absent.
    InvalidDataError
        A mask is no image, or empty.
    """
    return Regions(tuple(map(read_mask, paths)), tuple(path.name for path in paths))


def of_atlas(atlas: Path, labels: Path, wanted: Collection[str]) -> Regions:
    """Return the regions of a label map that have some names.

    Raises
    ------
    MissingInputError
        A file is absent, or a name is not in the table.
    InvalidDataError
        The label map is not of whole numbers, or holds nothing of a region.
    """
    names = region_names(labels)
    unknown = [name for name in wanted if name not in names.values()]
    if unknown:
        raise MissingInputError(
            "The label map has no such region", where=labels, found=listed(unknown),
            fix=f"It has {listed(dict.fromkeys(names.values()), most=200)}",
        )  # fmt: skip
    image = images.read(atlas)
    if not np.array_equal(image.voxels, np.rint(image.voxels)):
        raise InvalidDataError(
            "The atlas is not of whole numbers", where=atlas,
            fix="Give the atlas of labels, not that of probabilities",
        )  # fmt: skip
    numbers = {number: name for number, name in names.items() if name in wanted}
    there = set(np.unique(image.voxels).astype(int).tolist())
    empty = [name for number, name in numbers.items() if number not in there]
    if empty:
        raise InvalidDataError(
            "Regions of the table are not in the label map", where=atlas, found=listed(empty),
            fix="Give the table that belongs to it",
        )  # fmt: skip
    inside = np.isin(image.voxels, list(numbers))
    return Regions((Mask(atlas, inside, image.affine),), tuple(numbers.values()))


def side_of(name: str) -> Side | None:
    """Return the side that the name of a region says.

    Examples
    --------
    >>> side_of("Insula_L"), side_of("ctx-rh-insula"), side_of("Left Insula"), side_of("BrainStem")
    ('left', 'right', 'left', None)
    """
    return next((side for side, pattern in _SIDES if pattern.search(name)), None)


def on_grid(regions: Regions, image: Image, *, where: Path) -> NDArray[np.bool_]:
    """Return the voxels of an image whose centre lies in a voxel of the regions.

    Parameters
    ----------
    regions
        On grids of their own.
    image
        Its shape and affine count.
    where
        Its file, for messages.

    Raises
    ------
    InvalidDataError
        A mask has no inverse affine, or covers no voxel of the image, or all together cover all.
    """
    found = [_nearest(mask, image) for mask in regions.masks]
    for mask, inside in zip(regions.masks, found, strict=True):
        if not inside.any():
            raise InvalidDataError(
                f"The region of {mask.path} covers no voxel of the image", where=where,
                fix="Give a mask in the space of the images",
            )  # fmt: skip
    union: NDArray[np.bool_] = np.any(found, axis=0)
    if union.all():
        raise InvalidDataError(
            "The regions cover the whole image", where=where, fix="Give a mask of a region"
        )
    return union


def _nearest(mask: Mask, image: Image) -> NDArray[np.bool_]:
    try:
        step = np.linalg.inv(mask.affine) @ image.affine
    except np.linalg.LinAlgError as error:
        raise InvalidDataError("The affine of the mask has no inverse", where=mask.path) from error
    inside: NDArray[np.uint8] = affine_transform(
        mask.voxels.astype(np.uint8), step[:3, :3], step[:3, 3],
        output_shape=image.voxels.shape, order=0, mode="grid-constant",
    )  # fmt: skip
    return inside.astype(np.bool_)
