"""Where the brain is in an image, and in the template."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, MissingExtraError
from clinicadl.layouts import images
from clinicadl.layouts.images import Image

Mask = NDArray[np.bool_]

EXTRA = "preproc"
_TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_BRAIN_LITRES = (0.4, 2.6)
"""Of people, from infants to the largest, with a margin for what masks take in or leave out."""
_ALONE = 1.25
"""Where an image has no more than this times the brain, it shows nothing else."""


def check() -> None:
    """Refuse to begin where brains cannot be found.

    Raises
    ------
    MissingExtraError
        deepbet is not installed.
    """
    if find_spec("deepbet") is None:
        raise MissingExtraError("deepbet", EXTRA)


def template_path() -> Path:
    """Return the brain of MNI152NLin2009aSym at 1 mm, which nilearn brings along.

    Raises
    ------
    MissingExtraError
        nilearn is not installed.
    """
    found = find_spec("nilearn")
    if found is None or found.origin is None:
        raise MissingExtraError("nilearn", EXTRA)
    return Path(found.origin).parent / "datasets" / "data" / _TEMPLATE


def find(image: Image, path: Path) -> Mask:
    """Return the voxels of the brain of an image, by the network of deepbet.

    Parameters
    ----------
    image
        Finite, axes as `images.toward_ras` turns them.
    path
        The image, for messages.

    Raises
    ------
    InvalidDataError
        There is no brain, or none of a size that can be.
    """
    import torch

    network, n_threads = _network(), torch.get_num_threads()
    # The order of a sum depends on the number of threads: one gives the same bits everywhere.
    torch.set_num_threads(1)
    try:
        found = network.postprocess(network.run_model(image.voxels.copy()) > 0.5)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise InvalidDataError(
            "No brain was found in the image", where=path, found=str(error).partition("\n")[0],
            fix="Look at it; of an image without a skull say --skull_stripped",
        ) from error  # fmt: skip
    finally:
        torch.set_num_threads(n_threads)
    mask = np.asarray(found) > 0
    _check_size(mask, image, path)
    return mask


def shown_alone(image: Image, path: Path) -> Mask:
    """Return the voxels of an image that shows a brain and nothing else.

    Raises
    ------
    InvalidDataError
        What it shows cannot be a brain by its size.
    """
    mask: Mask = image.voxels > 0
    _check_size(mask, image, path)
    return mask


def is_alone(image: Image, brain: Mask) -> bool:
    """Return whether an image shows nothing but a brain: all else is 0."""
    return int(np.count_nonzero(image.voxels)) <= _ALONE * int(np.count_nonzero(brain))


def head(image: Image) -> Mask:
    """Return the voxels that are no air: brighter than half of the mean."""
    return np.asarray(image.voxels > image.voxels.mean(dtype=np.float64) / 2)


def only(image: Image, mask: Mask) -> Image:
    """Return an image with 0 outside of a mask."""
    return image._replace(voxels=np.where(mask, image.voxels, np.float32(0)))


def read_template(path: Path) -> Image:
    """Return a template, voxels that are no number as 0.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is no image, or nothing can be matched with it.
    """
    template = images.read(path)
    images.check_content(template.voxels, path)
    return template._replace(voxels=np.maximum(np.nan_to_num(template.voxels), 0))


def _check_size(mask: Mask, image: Image, path: Path) -> None:
    voxel = abs(float(np.linalg.det(image.affine[:3, :3])))
    litres = np.count_nonzero(mask) * voxel / 1e6
    low, high = _BRAIN_LITRES
    if not low <= litres <= high:
        raise InvalidDataError(
            "What is taken for the brain has not the size of one", where=path,
            found=f"{litres:.2f} l, not {low:g} to {high:g}",
            fix="Look at the image; of one with the whole head say --whole_head, of a brain alone "
            "--skull_stripped",
        )  # fmt: skip


@cache
def _network() -> Any:
    check()
    with warnings.catch_warnings():
        # It keeps its weights as TorchScript, of which torch says that it will go some day.
        warnings.simplefilter("ignore", DeprecationWarning)
        from deepbet import BrainExtraction

        return BrainExtraction(no_gpu=True)
