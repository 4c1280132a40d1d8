"""Where in the image something is known to lie: a mask, or the regions of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import images, tsv
from clinicadl.layouts.images import Frame, Image
from clinicadl.layouts.masks import SAME_AFFINE_MM

INDEX, NAME = "index", "name"
"""Columns of the labels of an atlas, as in BIDS."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Regions of the image."""

    voxels: NDArray[np.int64]
    """Index of the region of each voxel; 0 is none."""
    names: dict[int, str]
    """Index -> name, in their order."""


def read_mask(path: Path, frame: Frame) -> NDArray[np.bool_]:
    """Return which voxels are the truth: those that are not 0.

    Parameters
    ----------
    path
        NIfTI.
    frame
        Where the voxels of the maps lie.

    Raises
    ------
    InvalidDataError
        It lies on another grid, or all or none of its voxels are 0.
    """
    inside: NDArray[np.bool_] = _on(path, frame).voxels != 0
    if inside.all() or not inside.any():
        raise InvalidDataError(
            "The mask tells no voxel from another", where=path,
            found=f"{int(inside.sum())} of {inside.size} voxels are inside",
            fix="Give the mask of the voxels that matter",
        )  # fmt: skip
    return inside


def read_atlas(path: Path, labels: Path | None, frame: Frame) -> Atlas:
    """Return the regions of an atlas, with the names of a table or their numbers.

    Parameters
    ----------
    path
        NIfTI of whole numbers; 0 is no region.
    labels
        Table with the columns index and name.
    frame
        Where the voxels of the maps lie.

    Raises
    ------
    InvalidDataError
        It lies on another grid, has no region or one without a name, or is not of whole numbers.
    """
    image = _on(path, frame)
    voxels = np.rint(image.voxels)
    if not np.array_equal(voxels, image.voxels) or voxels.min() < 0:
        raise InvalidDataError(
            "The atlas is not of whole numbers from 0 on", where=path,
            fix="Give the atlas of labels, not that of probabilities",
        )  # fmt: skip
    numbers = [int(one) for one in np.unique(voxels) if one]
    if not numbers:
        raise InvalidDataError("The atlas has no region", where=path)
    known = {number: str(number) for number in numbers} if labels is None else _names(labels)
    nameless = [number for number in numbers if number not in known]
    if nameless:
        raise InvalidDataError(
            f"{len(nameless)} regions of the atlas have no name", where=labels,
            found=listed(nameless), fix="Add a row for each",
        )  # fmt: skip
    return Atlas(voxels.astype(np.int64), {number: known[number] for number in numbers})


def _names(path: Path) -> dict[int, str]:
    table = tsv.read(path, "labels of the atlas", needs=(INDEX, NAME))
    odd = [cell for cell in table[INDEX] if not str(cell).isdigit()]
    if odd:
        raise InvalidDataError(
            "The index of a region is a whole number", where=f"{path}, column {INDEX}",
            found=listed(odd),
        )  # fmt: skip
    return {int(index): str(name) for index, name in zip(table[INDEX], table[NAME], strict=True)}


def _on(path: Path, frame: Frame) -> Image:
    """Return an image, which must lie on the grid of the maps.

    Raises
    ------
    InvalidDataError
        It does not; both grids are shown.
    """
    image = images.read(path)
    is_near = np.allclose(image.affine, frame.affine, rtol=0, atol=SAME_AFFINE_MM)
    if image.voxels.shape != frame.shape or not is_near:
        ours, theirs = _shown(frame), _shown(Frame(image.voxels.shape, image.affine))
        raise InvalidDataError(
            "The image lies on another grid than the maps", where=path,
            found=f"{theirs}; the maps {ours}", fix="Resample it, labels by the nearest value",
        )  # fmt: skip
    return image


def _shown(frame: Frame) -> str:
    rows = "; ".join(" ".join(f"{cell:g}" for cell in row) for row in frame.affine[:3])
    return f"{'x'.join(map(str, frame.shape))}, affine [{rows}]"
