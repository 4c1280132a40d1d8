"""The transforms of an experiment, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinicadl import draws
from clinicadl.config.transforms import Augmentation, MinMax, TransformsConfig
from clinicadl.errors import MissingExtraError, UsageError, listed
from clinicadl.transforms.augment import Applied
from clinicadl.transforms.intensity import laid, without_nan
from clinicadl.transforms.size import reduced, reduced_affine, reduced_shape

if TYPE_CHECKING:
    from clinicadl.transforms.intensity import Normalization


class Transform(Protocol):
    """From a stored sample to what the network gets."""

    def __call__(self, image: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return the transformed sample, or ``out``, which is then filled with it."""
        ...


class Augment(Protocol):
    """From what the network gets to what it gets once, in one epoch of training."""

    def __call__(self, image: Tensor, epoch: int, sample: int) -> Tensor:
        """Return the changed sample; ``sample`` is its index in the table, never in a batch."""
        ...


def pipeline(settings: TransformsConfig) -> Transform:
    """Return the transforms that draw nothing: NaN to 0, then the intensities, then the size."""
    intensities = settings.normalization.build() if settings.normalize else without_nan
    steps: tuple[Normalization, ...] = (intensities,)
    if settings.size_reduction:
        steps = (intensities, partial(reduced, factor=settings.size_reduction_factor))
    elif not settings.normalize or isinstance(settings.normalization, MinMax):
        # These lay their result where it shall be: a large sample is then written once, not twice.
        return cast("Transform", intensities)
    return partial(_one_after_another, steps=steps)


def output_shape(settings: TransformsConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what the network gets, from that of a stored sample.

    Raises
    ------
    UsageError
        The size of such samples cannot be reduced.
    """
    return (
        reduced_shape(shape, settings.size_reduction_factor) if settings.size_reduction else shape
    )


def output_affine(settings: TransformsConfig, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of what the network gets, from that of a stored sample.

    Both are voxel to world, in mm, RAS+, shape (4, 4).
    """
    return (
        reduced_affine(affine, settings.size_reduction_factor)
        if settings.size_reduction
        else affine
    )


def check_augmentation(settings: TransformsConfig, shape: tuple[int, ...]) -> None:
    """Refuse augmentations that cannot be, before anything is read.

    Parameters
    ----------
    settings
        The transforms of the experiment.
    shape
        Shape of what the network gets, (channel, axes of space).

    Raises
    ------
    UsageError
        An augmentation takes volumes only, or does not fit into a sample.
    MissingExtraError
        A package is not installed.
    """
    flat = [row.name for row in settings.augmentation if row.volumes_only and len(shape) != 4]
    if flat:
        raise UsageError(
            "An augmentation needs volumes, and these samples are slices",
            where="transforms.augmentation",
            found=listed(flat),
            fix="Leave it out, or train on images, patches or regions",
        )
    for row in settings.augmentation:
        if row.package is not None and find_spec(row.package) is None:
            raise MissingExtraError(row.package, "augment")
        # To draw costs nothing, and refuses what does not fit.
        row.build(draws.generator(0, "augmentation/check"), shape)


def augmentation(settings: TransformsConfig, *, seed: int) -> Augment | None:
    """Return the transforms that are drawn, to follow those of `pipeline`; none where none is set.

    What is returned can be pickled, for workers that are no forks.
    """
    if not settings.augmentation:
        return None
    return partial(_augmented, rows=settings.augmentation, seed=seed)


def drawn(
    rows: Sequence[Augmentation],
    shape: tuple[int, ...],
    *,
    seed: int,
    epoch: int = 0,
    sample: int = 0,
) -> list[Applied]:
    """Return the changes of one sample in one epoch, with their numbers, in their order.

    Each augmentation has a random stream of its own, by its place in the list and its name.

    Parameters
    ----------
    rows
        The augmentations of the experiment.
    shape
        Shape of the sample.
    seed
        Seed of the experiment.
    epoch
        Number of the epoch.
    sample
        Index in the table.
    """
    changes: list[Applied] = []
    for k, row in enumerate(rows):
        generator = draws.generator(seed, f"augmentation/{k}/{row.name}", epoch, sample)
        if generator.random() < row.p:
            changes.append(row.build(generator, shape))
    return changes


def _augmented(
    image: Tensor, epoch: int, sample: int, *, rows: Sequence[Augmentation], seed: int
) -> Tensor:
    shape = tuple(image.shape)
    changed = image.to(torch.float32)
    for change in drawn(rows, shape, seed=seed, epoch=epoch, sample=sample):
        changed = change(changed)
    return changed.to(image.dtype)


def _one_after_another(
    image: Tensor, *, steps: Sequence[Normalization], out: Tensor | None = None
) -> Tensor:
    for step in steps:
        image = step(image)
    return laid(image, out)
