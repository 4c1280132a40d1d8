"""Which images of a CAPS a check takes, and the masks that it compares them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.base import Choice
from clinicadl.config.checking import Checking
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    PartialError,
    listed,
)
from clinicadl.layouts import caps, images, naming
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import sha256
from clinicadl.layouts.images import Frame, Image
from clinicadl.layouts.masks import SAME_AFFINE_MM
from clinicadl.tables import chosen, sessions


class Mask(NamedTuple):
    """Voxels that a check looks at."""

    inside: NDArray[np.bool_]
    affine: NDArray[np.float64]
    """Voxel to world, in mm, RAS+, shape (4, 4)."""
    said: str
    """Where it is from, for people."""


class Written(NamedTuple):
    """What a check wrote, and what it could not look at."""

    table: pd.DataFrame
    failed: tuple[ClinicaDLError, ...]


def select(config: Checking, home: Path, preprocessing: Choice) -> list[StoredImage]:
    """Return the images that are checked.

    Raises
    ------
    MissingInputError
        There is none, a session of the table has none, or a participant is not known.
    InvalidDataError
        This is no CAPS, the table is wrong, or a session has several images.
    """
    stored = caps.index(home, preprocessing)
    if not stored:
        raise MissingInputError(
            f"There is no image of {preprocessing.name}", where=home,
            found=f"nothing like {naming.pattern(preprocessing)}",
            fix="Check the path and the options of the preprocessing",
        )  # fmt: skip
    where, wanted = home, list(stored)
    if config.participants_tsv is not None:
        where = config.participants_tsv
        wanted = sorted(sessions.sessions_of(sessions.read(where)))
    wanted = chosen.labelled(wanted, config.participant_label, where)
    kept = chosen.of_shard(caps.select(stored, wanted, where=where), config.shard)
    if not kept:
        raise MissingInputError(
            "The shard has no session", where="--shard", found=config.shard,
            fix="Use fewer shards than sessions",
        )  # fmt: skip
    return list(kept)


def read_mask(path: Path, published: str) -> Mask:
    """Return a mask of zeros and ones.

    Parameters
    ----------
    path
        NIfTI.
    published
        SHA-256 of the mask that release 1.6 downloads.

    Raises
    ------
    MissingInputError
        It is absent or closed to us.
    InvalidDataError
        It is no image, has other values, or is empty.
    """
    image = images.read(path)
    values = np.unique(image.voxels)
    if not np.isin(values, (0, 1)).all() or not values.any():
        raise InvalidDataError(
            "The mask is not one of zeros and ones", where=path,
            found=", ".join(f"{value:g}" for value in values[:5]), fix="Give a binary mask",
        )  # fmt: skip
    found = sha256(path)
    which = "the published one" if found == published else "not the published one"
    return Mask(image.voxels == 1, image.affine, f"{path} (SHA-256 {found}, {which})")


def loaded(image: StoredImage, frame: Frame) -> Image:
    """Return an image on a known grid, with 0 where a voxel is no number.

    Raises
    ------
    MissingInputError
        It is gone.
    InvalidDataError
        It is damaged, shows nothing, or lies on another grid.
    """
    found = images.read(image.path)
    refuse_other_grid(found.voxels.shape, found.affine, frame, image.path)
    if images.check_content(found.voxels, image.path):
        return found._replace(voxels=np.nan_to_num(found.voxels))
    return found


def refuse_other_grid(
    shape: tuple[int, ...], affine: NDArray[np.float64], frame: Frame, path: Path
) -> None:
    """Refuse voxels that do not lie where those of a mask do.

    Raises
    ------
    InvalidDataError
        The shape or the affine is another.
    """
    is_near = np.allclose(affine, frame.affine, rtol=0, atol=SAME_AFFINE_MM)
    if shape != frame.shape or not is_near:
        raise InvalidDataError(
            "The image is not on the grid that it is compared on", where=path,
            found=f"{_described(shape, affine)} instead of {_described(frame.shape, frame.affine)}",
            fix="Give masks and images on one grid",
        )  # fmt: skip


def _described(shape: tuple[int, ...], affine: NDArray[np.float64]) -> str:
    origin = ", ".join(f"{value:g}" for value in affine[:3, 3])
    return f"{' x '.join(map(str, shape))} voxels from {origin} mm"


def refuse_failed(failed: Sequence[ClinicaDLError], n: int) -> None:
    """Say which images could not be looked at, once the others are written.

    Raises
    ------
    PartialError
        There are such images.
    """
    if failed:
        raise PartialError(
            f"{len(failed)} of {n} images could not be looked at, and do not pass",
            found=listed(failed, most=3), fix="Mend them, then run the same command again",
        )  # fmt: skip
