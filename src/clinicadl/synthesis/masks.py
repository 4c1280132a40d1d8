"""Masks that users give, and which voxels of an image the trivial effect darkens."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.files import existing_folder
from clinicadl.layouts.masks import SAME_AFFINE_MM

N_BINS = 256

Pair = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""The mask of the first and of the second label."""


class Mask(NamedTuple):
    """A mask that the user gave."""

    path: Path
    voxels: NDArray[np.bool_]
    affine: NDArray[np.float64]


def read_masks(folder: Path) -> tuple[Mask, Mask]:
    """Return ``mask-1`` and ``mask-2`` of a folder; their voxels are those that are not 0.

    Raises
    ------
    MissingInputError
        The folder or one of the masks is absent.
    InvalidDataError
        There are two files for one mask, or a mask is empty.
    """
    existing_folder(folder, "folder of the masks")
    return _read_mask(folder, 1), _read_mask(folder, 2)


def _read_mask(folder: Path, number: int) -> Mask:
    names = [f"mask-{number}{suffix}" for suffix in images.SUFFIXES]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise MissingInputError(
            f"Mask {number} does not exist", where=folder, fix=f"Add {' or '.join(names)}"
        )
    if len(found) > 1:
        raise InvalidDataError(
            f"There are two files for mask {number}", where=folder,
            found=" and ".join(names), fix="Remove one",
        )  # fmt: skip
    return read_mask(found[0])


def read_mask(path: Path) -> Mask:
    """Return a mask; its voxels are those that are not 0.

    Raises
    ------
    MissingInputError
        It is absent.
    InvalidDataError
        It is no image, or empty.
    """
    image = images.read(path)
    inside = np.isfinite(image.voxels) & (image.voxels != 0)
    if not inside.any():
        raise InvalidDataError(
            "The mask is empty", where=path, fix="Give a mask with voxels that are not 0"
        )
    return Mask(path, inside, image.affine)


def pair_of(image: images.Image, masks: tuple[Mask, Mask] | None, *, where: Path) -> Pair:
    """Return the voxels of an image that each label darkens: masked, a number and not 0.

    Parameters
    ----------
    image
        The source.
    masks
        The masks that the user gave; None takes the hemispheres.
    where
        The image's file, for messages.

    Raises
    ------
    InvalidDataError
        A mask lies on another grid than the image, or covers nothing of it.
    """
    if masks is None:
        first, second = hemispheres(image)
        names = ("The left hemisphere", "The right hemisphere")
    else:
        first, second = (_on_grid(mask, image, where) for mask in masks)
        names = (f"The mask {masks[0].path}", f"The mask {masks[1].path}")
    bright = np.isfinite(image.voxels) & (image.voxels != 0)
    pair = (first & bright, second & bright)
    for name, mask in zip(names, pair, strict=True):
        if not mask.any():
            raise InvalidDataError(
                f"{name} covers no voxel of the image", where=where,
                fix="Check the affine of the image, or give other masks by --mask_path",
            )  # fmt: skip
    return pair


def _on_grid(mask: Mask, image: images.Image, where: Path) -> NDArray[np.bool_]:
    if mask.voxels.shape != image.voxels.shape:
        raise InvalidDataError(
            f"The mask {mask.path} has another shape than the image", where=where,
            found=f"{mask.voxels.shape} and {image.voxels.shape}",
            fix="Resample the mask to the grid of the images",
        )  # fmt: skip
    if not np.allclose(mask.affine, image.affine, rtol=0, atol=SAME_AFFINE_MM):
        raise InvalidDataError(
            f"The mask {mask.path} has another affine than the image", where=where,
            found=f"{mask.affine.tolist()} and {image.affine.tolist()}",
            fix="Resample the mask to the grid of the images",
        )  # fmt: skip
    return mask.voxels


def hemispheres(image: images.Image) -> Pair:
    """Return the left and the right half of what is bright in an image.

    Bright is above Otsu's threshold. A voxel is left where the x of its centre in the world is
    below 0 mm, and right where it is above.
    """
    bright = image.voxels > otsu_threshold(image.voxels)
    x = _world_x(image.voxels.shape, image.affine)
    return bright & (x < 0), bright & (x > 0)


def _world_x(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    x: NDArray[np.float64] = affine[0, 0] * i + affine[0, 1] * j + affine[0, 2] * k + affine[0, 3]
    return x


def otsu_threshold(voxels: NDArray[np.float32]) -> float:
    """Return the threshold that sets dark and bright voxels apart best [1]_.

    It maximises the variance between the two classes over the edges of 256 bins. Voxels that are
    no number are left out.

    References
    ----------
    .. [1] Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on
       Systems, Man, and Cybernetics 9, 1979.
    """
    counts, edges = np.histogram(voxels[np.isfinite(voxels)].astype(np.float64), bins=N_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    weighted = np.cumsum(counts * centres)
    # The outer bins hold the least and the greatest voxel, so both classes have voxels.
    mean_below = weighted[:-1] / below
    mean_above = (weighted[-1] - weighted[:-1]) / above
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[1:-1][np.argmax(between)])
