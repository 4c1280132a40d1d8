"""Masks of regions of interest in a CAPS."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.base import Choice
from clinicadl.config.mode import RoiMode
from clinicadl.config.preprocessing import Custom, Linear
from clinicadl.config.raw import Raw
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import images, tsv

MASKS, OLDER_MASKS = "masks", "masks/roi_based"
"""Folders, in a CAPS, of the folders of the templates; the second is that of release 0.2."""

SAME_AFFINE_MM = 1e-3
"""Affines that differ less are the same: headers store them in single precision."""

INDEX, NAME = "index", "name"
"""Columns of the labels of an atlas, as in BIDS."""

_SPM_TEMPLATE = "Ixi549Space"
_TEMPLATE = {"t1-volume": _SPM_TEMPLATE, "t1-extensive": _SPM_TEMPLATE}
_BOXED = "t1-linear"
"""The preprocessing that has regions of its own."""


class Mask(NamedTuple):
    """Where a region of interest lies."""

    roi: str
    path: Path
    voxels: NDArray[np.bool_]
    """Inside of the region, cut to its bounding box."""
    start: tuple[int, int, int]
    """First voxel of the bounding box."""
    grid: tuple[int, ...]
    """Shape of the whole mask."""
    affine: NDArray[np.float64]
    """Voxel to world of the whole mask, in mm, RAS+."""
    sha256: str


class Place(NamedTuple):
    """Where the masks of some images are looked for."""

    template: str
    pattern: str
    is_cropped: bool | None
    """Which masks are meant: of cropped images, of whole ones, or all."""


def place(settings: RoiMode, preprocessing: Choice) -> Place:
    """Return where the masks for the images of a preprocessing are looked for.

    Raises
    ------
    UsageError
        The template of custom or raw images is not said, or that of others is, or none is known.
    """
    given = {
        "--roi_custom_template": settings.roi_custom_template,
        "--roi_custom_mask_pattern": settings.roi_custom_mask_pattern,
    }
    if isinstance(preprocessing, Custom | Raw):
        if not settings.roi_custom_template:
            raise UsageError(
                "The masks of custom and of raw images need the name of their template",
                fix="Give --roi_custom_template, as in masks/tpl-<template>",
            )
        return Place(settings.roi_custom_template, settings.roi_custom_mask_pattern, None)
    unwanted = [flag for flag, value in given.items() if value]
    if unwanted:
        raise UsageError(
            f"Only custom and raw images take {listed(unwanted)}", found=preprocessing.name,
            fix="Leave it out",
        )  # fmt: skip
    if isinstance(preprocessing, Linear):
        cropped = not preprocessing.use_uncropped_image
        return Place("MNI152NLin2009cSym", "res-1x1x1", cropped)
    if preprocessing.name not in _TEMPLATE:
        raise UsageError(
            "The template of these images is not known", found=preprocessing.name,
            fix="Take the images as custom, with --roi_custom_template",
        )  # fmt: skip
    return Place(_TEMPLATE[preprocessing.name], "", None)


def read(caps: Path, mode: Choice, preprocessing: Choice) -> tuple[Mask, ...]:
    """Return the mask of each region of a mode, in their order; a mode without regions has none.

    Parameters
    ----------
    caps
        The CAPS that holds the masks.
    mode
        Row of `MODES`.
    preprocessing
        The images that they are for: whether these are cropped decides which masks are taken.

    Returns
    -------
    Masks of one grid; none if no region is listed, which means the two boxes of t1-linear.

    Raises
    ------
    UsageError
        No region is listed though these images need some, or the template is wrong.
    MissingInputError
        A region has no mask; the known regions are named.
    InvalidDataError
        A mask is no image of 0 and 1, is empty, or lies on another grid than the others.
    """
    if not isinstance(mode, RoiMode):
        return ()
    where = place(mode, preprocessing)
    if not mode.roi_list:
        if preprocessing.name != _BOXED or not where.is_cropped:
            raise UsageError(
                "Only cropped t1-linear images have regions of their own",
                found=preprocessing.name, fix="Say which regions by --roi_list",
            )  # fmt: skip
        return ()
    masks = tuple(_read(roi, find(caps, roi, where)) for roi in mode.roi_list)
    for mask in masks[1:]:
        refuse_other_grid(masks[0], mask.grid, mask.affine, where=mask.path)
    return masks


def find(caps: Path, roi: str, where: Place) -> Path:
    """Return the mask of a region: of several the shortest name, then the first of the alphabet.

    Raises
    ------
    MissingInputError
        There is none; the known regions are named.
    """
    known: set[str] = set()
    homes = [caps / folder / f"tpl-{where.template}" for folder in (MASKS, OLDER_MASKS)]
    for home in homes:
        paths = [path for path in _masks(home) if _is_meant(path.name, where)]
        name = f"*_roi-{roi}_mask.nii*"
        found = [path for path in paths if fnmatch.fnmatchcase(path.name, name)]
        if found:
            return min(found, key=lambda path: (len(path.name), path.name))
        known |= {_parts(path)[1] for path in paths}
    kind = {True: " of cropped images", False: " of uncropped images", None: ""}[where.is_cropped]
    raise MissingInputError(
        f"There is no mask{kind} for the region", where=homes[0], found=roi,
        fix=f"Known there: {listed(sorted(known))}" if known
        else f"Add tpl-{where.template}_…_roi-{roi}_mask.nii.gz",
    )  # fmt: skip


def region_names(path: Path) -> dict[int, str]:
    """Return the names of the regions of a label map, by their numbers, in the order of the table.

    Parameters
    ----------
    path
        Table with the columns index and name.

    Raises
    ------
    MissingInputError
        It cannot be read, or lacks a column.
    InvalidDataError
        An index is no whole number.
    """
    table = tsv.read(path, "labels of the atlas", needs=(INDEX, NAME))
    odd = [cell for cell in table[INDEX] if not str(cell).isdigit()]
    if odd:
        raise InvalidDataError(
            "The index of a region is a whole number", where=f"{path}, column {INDEX}",
            found=listed(odd),
        )  # fmt: skip
    return {int(index): str(name) for index, name in zip(table[INDEX], table[NAME], strict=True)}


def _masks(home: Path) -> list[Path]:
    found = sorted(home.glob("[!.]*_roi-*_mask.nii*")) if home.is_dir() else []
    return [path for path in found if path.name.lower().endswith(images.SUFFIXES)]


def _is_meant(name: str, where: Place) -> bool:
    if where.is_cropped is not None and ("_desc-Crop_" in name) != where.is_cropped:
        return False
    return fnmatch.fnmatchcase(name, f"*{where.pattern}*_roi-*_mask.nii*")


def _parts(path: Path) -> tuple[list[str], str]:
    """Return the entities in the name of a mask, without the template, and the region."""
    entities, _, region = images.stem(path).removesuffix("_mask").rpartition("_roi-")
    return [one for one in entities.split("_") if not one.startswith("tpl-")], region


def _read(roi: str, path: Path) -> Mask:
    image = images.read(path)
    inside = image.voxels == 1
    other = ~inside & (image.voxels != 0)
    if other.any():
        raise InvalidDataError(
            "A mask may hold 0 and 1 alone", where=path,
            found=listed(f"{value:g}" for value in np.unique(image.voxels[other])[:3]),
            fix="Threshold it",
        )  # fmt: skip
    if not inside.any():
        raise InvalidDataError("The mask is empty", where=path, fix="Give one with voxels of 1")
    box = [_extent(inside.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    start, grid = (box[0].start, box[1].start, box[2].start), inside.shape
    voxels = np.ascontiguousarray(inside[box[0], box[1], box[2]])
    return Mask(roi, path, voxels, start, grid, image.affine, image.sha256)


def _extent(is_inside: NDArray[np.bool_]) -> slice:
    positions = np.flatnonzero(is_inside)
    return slice(int(positions[0]), int(positions[-1]) + 1)


def refuse_other_grid(
    mask: Mask, grid: tuple[int, ...], affine: NDArray[np.float64], *, where: object
) -> None:
    """Refuse an image that does not lie on the grid of a mask.

    Parameters
    ----------
    mask
        The mask.
    grid
        Shape of the image, without channels.
    affine
        Of the image: voxel to world, in mm, RAS+.
    where
        The image, for the message.

    Raises
    ------
    InvalidDataError
        Shape or affine differ; both grids are shown.
    """
    is_near = np.allclose(mask.affine, affine, rtol=0, atol=SAME_AFFINE_MM)
    if tuple(grid) != mask.grid or not is_near:
        raise InvalidDataError(
            f"The mask {mask.path} lies on another grid than the image", where=where,
            found=f"mask {_grid(mask.grid, mask.affine)}; image {_grid(grid, affine)}",
            fix="Resample the mask to the grid of the images",
        )  # fmt: skip


def _grid(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    rows = "; ".join(" ".join(f"{cell:g}" for cell in row) for row in np.asarray(affine)[:3])
    return f"{'x'.join(map(str, shape))}, affine [{rows}]"


def entities(mask: Mask, *, uncropped_roi: bool) -> str:
    """Return what stands in the name of the tensor of a region for its mask.

    Parameters
    ----------
    mask
        The mask.
    uncropped_roi
        Whether the tensor keeps the grid of the image.
    """
    template = mask.path.parent.name.removeprefix("tpl-")
    others, _ = _parts(mask.path)
    is_of_cropped = "desc-Crop" in others
    others = [one for one in others if one != "desc-Crop"]
    if not uncropped_roi:
        others.insert(0, "desc-CropRoi")
    elif is_of_cropped:
        others.insert(0, "desc-CropImage")
    return "_".join([f"space-{template}", *others, f"roi-{mask.roi}"])


def keys(
    caps: Path, mode: RoiMode, preprocessing: Choice, masks: tuple[Mask, ...]
) -> dict[str, Any]:
    """Return what an extraction JSON says of masks, besides the settings: what was resolved.

    The folder is relative to the CAPS, so that a CAPS that was moved says the same.
    """
    where = place(mode, preprocessing)
    folder = masks[0].path.parent.relative_to(caps).as_posix() if masks else ""
    return {
        "roi_template": where.template,
        "roi_mask_pattern": where.pattern,
        **({"masks_location": folder} if folder else {}),
    }
