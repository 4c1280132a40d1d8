"""Where in the image something is known to lie: a mask, or the regions of an atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import images
from clinicadl.layouts.caps import Session
from clinicadl.layouts.images import Frame, Image
from clinicadl.layouts.masks import SAME_AFFINE_MM, region_names

PARTICIPANT_MARK, SESSION_MARK = "{participant_id}", "{session_id}"
"""What stands for an image in the path of its mask."""
OWN_MASK = f"{PARTICIPANT_MARK}_{SESSION_MARK}_mask"
"""Name of the mask of an image in a folder of masks, as ``generate`` writes it."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Regions of the image."""

    voxels: NDArray[np.int64]
    """Index of the region of each voxel; 0 is none."""
    names: dict[int, str]
    """Index -> name, in their order."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Which voxels are known to matter: in all images, or in each."""

    frame: Frame
    """Where the voxels of the maps lie."""
    of_all: NDArray[np.bool_] | None
    """None: each image has a mask of its own."""
    path_of: Mapping[str, Path]
    """Name of an image in the tables -> its own mask."""

    def of(self, name: str) -> NDArray[np.bool_] | None:
        """Return the voxels that matter in an image; None where none does, or nobody knows."""
        if self.of_all is not None:
            return self.of_all
        if name not in self.path_of:
            return None
        inside = _inside(self.path_of[name], self.frame)
        return inside if inside.any() else None


def read_truth(path: Path, keys: Sequence[Session], frame: Frame) -> Truth:
    """Return the voxels that are known to matter, each mask of which was read once.

    Parameters
    ----------
    path
        A mask of all images; or a folder that holds one for each, or a path with
        ``{participant_id}`` and ``{session_id}`` in their places. A mask of one image may be empty:
        nothing matters in it.
    keys
        The images.
    frame
        Where the voxels of the maps lie.

    Raises
    ------
    MissingInputError
        An image has no mask.
    InvalidDataError
        A mask lies on another grid, or tells no voxel from another; or all are empty.
    """
    if PARTICIPANT_MARK not in str(path) and not path.is_dir():
        return Truth(frame, read_mask(path, frame), {})
    path_of = {"_".join(key): _own_mask(path, key) for key in keys}
    missing = [one for one in path_of.values() if not one.is_file()]
    if missing:
        raise MissingInputError(
            f"{len(missing)} of {len(path_of)} images have no mask", where=path,
            found=listed(one.name for one in missing),
            fix="Add them, empty ones where nothing is to be found, or leave these images out",
        )  # fmt: skip
    shares = {one: _inside(one, frame).mean() for one in dict.fromkeys(path_of.values())}
    full = [one for one, share in shares.items() if share == 1]
    if full:
        _refuse(full[0], "all voxels are inside")
    if not any(shares.values()):
        _refuse(path, "the masks of all images are empty")
    return Truth(frame, None, path_of)


def _own_mask(path: Path, key: Session) -> Path:
    """Return the path of the mask of an image, be it there or not."""
    pattern = str(path) if PARTICIPANT_MARK in str(path) else str(path / OWN_MASK)
    whole = pattern.replace(PARTICIPANT_MARK, key[0]).replace(SESSION_MARK, key[1])
    if PARTICIPANT_MARK in str(path):
        return Path(whole)
    return next(
        (one for suffix in images.SUFFIXES if (one := Path(whole + suffix)).is_file()),
        Path(f"{whole}{images.SUFFIXES[0]}"),
    )


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
    inside = _inside(path, frame)
    if inside.all() or not inside.any():
        _refuse(path, f"{int(inside.sum())} of {inside.size} voxels are inside")
    return inside


def _inside(path: Path, frame: Frame) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = _on(path, frame).voxels != 0
    return inside


def _refuse(mask: Path, found: str) -> NoReturn:
    raise InvalidDataError(
        "The mask tells no voxel from another", where=mask, found=found,
        fix="Give the mask of the voxels that matter",
    )  # fmt: skip


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
    known = {number: str(number) for number in numbers} if labels is None else region_names(labels)
    nameless = [number for number in numbers if number not in known]
    if nameless:
        raise InvalidDataError(
            f"{len(nameless)} regions of the atlas have no name", where=labels,
            found=listed(nameless), fix="Add a row for each",
        )  # fmt: skip
    return Atlas(voxels.astype(np.int64), {number: known[number] for number in numbers})


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
