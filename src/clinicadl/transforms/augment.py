"""Random changes of a sample: numbers are drawn first, and applying them draws nothing.

Each is a pair. ``draw_x(settings, generator, shape)`` returns ``x`` with its numbers bound, as a
partial whose ``keywords`` can be read; ``x(image, numbers)`` is a pure function of a float32
tensor (channel, then the axes of space), which it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib import import_module
from itertools import product
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from clinicadl import draws
from clinicadl.config.transforms import (
    Affine,
    Atrophy,
    BiasField,
    CropPad,
    DownSampling,
    Elastic,
    Erasing,
    Flip,
    Gamma,
    Ghosting,
    Hypometabolism,
    Motion,
    Noise,
    RandomBlur,
    RandomSwap,
    Smoothing,
    Spike,
)
from clinicadl.errors import MissingExtraError, UsageError
from clinicadl.layouts import images

Applied = Callable[[Tensor], Tensor]
Shape = tuple[int, ...]

ERASING_TRIES = 10
"""Rectangles that are drawn until one lies inside the plane."""
LOCKED = 2
"""Control points at each end of an axis that an elastic deformation leaves in place."""
SPLINE_ORDER = 3
"""Order of the spline between the control points."""
PERTURBATION = 0.3
"""Share of the time between two moves by which each may come early or late."""


def draw_noise(settings: Noise, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return Gaussian noise of one standard deviation."""
    seed = int(generator.integers(2**63))
    return partial(noise, std=generator.uniform(0, settings.std), seed=seed)


def noise(image: Tensor, *, std: float, seed: int) -> Tensor:
    """Return the sample with Gaussian noise added to each voxel."""
    field = draws.generator(seed, "noise").standard_normal(tuple(image.shape), dtype=np.float32)
    return torch.from_numpy(field).mul_(std).add_(image)


def draw_erasing(settings: Erasing, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the erasing of one rectangle; of nothing where none of ten tries fits."""
    height, width = shape[-2:]
    low, high = (log(ratio) for ratio in settings.ratio)
    for _ in range(ERASING_TRIES):
        area = height * width * generator.uniform(*settings.area)
        ratio = exp(generator.uniform(low, high))
        rows, columns = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if rows < height and columns < width:
            start = generator.integers((height - rows + 1, width - columns + 1))
            return partial(erasing, start=(int(start[0]), int(start[1])), size=(rows, columns))
    return partial(erasing, start=(0, 0), size=(0, 0))


def erasing(image: Tensor, *, start: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the sample with a rectangle of its last two axes set to 0."""
    erased = image.clone()
    erased[..., start[0] : start[0] + size[0], start[1] : start[1] + size[1]] = 0
    return erased


def draw_crop_pad(settings: CropPad, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a shift by whole voxels along each axis."""
    reach = settings.shift
    shifts = generator.integers(-reach, max(reach, 1), size=len(shape) - 1)
    return partial(crop_pad, shifts=tuple(int(shift) for shift in shifts))


def crop_pad(image: Tensor, *, shifts: Sequence[int]) -> Tensor:
    """Return the sample moved by ``shifts`` voxels along its axes; zeros enter."""
    shifted = torch.zeros_like(image)
    to, taken = [slice(None)], [slice(None)]
    for size, wanted in zip(image.shape[1:], shifts, strict=True):
        shift = max(-size, min(size, wanted))
        to.append(slice(max(shift, 0), size + min(shift, 0)))
        taken.append(slice(max(-shift, 0), size - max(shift, 0)))
    shifted[tuple(to)] = image[tuple(taken)]
    return shifted


def draw_smoothing(settings: Smoothing, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a Gaussian filter that is the same along all axes."""
    return partial(blur, stds=(generator.uniform(0, settings.sigma),) * (len(shape) - 1))


def draw_blur(settings: RandomBlur, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a Gaussian filter that differs between the axes."""
    stds = generator.uniform(*settings.std, size=len(shape) - 1)
    return partial(blur, stds=tuple(float(std) for std in stds))


def blur(image: Tensor, *, stds: Sequence[float]) -> Tensor:
    """Return the sample filtered along its axes by Gaussians, in voxels; channels stay apart."""
    return torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, *stds)))


def draw_down_sampling(
    settings: DownSampling, generator: np.random.Generator, shape: Shape
) -> Applied:
    """Return the thickness of the slices, and their axis."""
    return partial(
        down_sampling,
        factor=int(generator.integers(*settings.factor, endpoint=True)),
        axis=int(generator.integers(len(shape) - 1)),
    )


def down_sampling(image: Tensor, *, factor: int, axis: int) -> Tensor:
    """Return the sample as if its slices were ``factor`` voxels thick along an axis.

    Each slice has the mean of its voxels; between the centres of two slices the values lie on a
    line, and outside of the first and the last they stay.
    """
    size = image.shape[axis + 1]
    starts = np.arange(0, size, factor)
    stops = np.minimum(starts + factor, size)
    centres = (starts + stops - 1) / 2
    voxel = np.arange(size)
    mean = ((voxel >= starts[:, None]) & (voxel < stops[:, None])) / (stops - starts)[:, None]
    back = np.stack([np.interp(voxel, centres, one) for one in np.eye(len(starts))], axis=1)
    thick = np.moveaxis(image.numpy(), axis + 1, -1) @ (back @ mean).T.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(thick, -1, axis + 1)))


def draw_gamma(settings: Gamma, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a power, its logarithm drawn evenly."""
    return partial(gamma, power=exp(generator.uniform(-settings.log_gamma, settings.log_gamma)))


def gamma(image: Tensor, *, power: float) -> Tensor:
    """Return the sample to a power; what is below 0 keeps its sign."""
    voxels = image.numpy()
    return torch.from_numpy(np.copysign(np.abs(voxels) ** np.float32(power), voxels))


def draw_hypometabolism(
    settings: Hypometabolism, generator: np.random.Generator, shape: Shape
) -> Applied:
    """Return how much is lost, and where: in the mask, or in a ball whose centre is drawn.

    Raises
    ------
    UsageError
        The mask has another shape than the sample.
    MissingInputError
        There is no such mask.
    InvalidDataError
        The mask is no image.
    """
    share = generator.uniform(*settings.degree)
    centre, radius = _draw_ball(settings.radius, generator, shape)
    if settings.mask is None:
        return partial(
            hypometabolism, share=share, sigma=settings.sigma, centre=centre, radius=radius
        )
    found = images.read_frame(settings.mask).shape
    if found != tuple(shape[1:]):
        raise UsageError(
            "The mask of Hypometabolism does not lie on the grid of the samples",
            where=settings.mask,
            found=f"{'x'.join(map(str, found))} for {'x'.join(map(str, shape[1:]))}",
            fix="Resample it; patches, regions and slices take no mask",
        )
    return partial(hypometabolism, share=share, sigma=settings.sigma, mask=settings.mask)


def hypometabolism(
    image: Tensor,
    *,
    share: float,
    sigma: float,
    centre: Sequence[float] = (),
    radius: float = 0.0,
    mask: Path | None = None,
) -> Tensor:
    """Return the sample times 1 - share in a mask or a ball, and 1 outside, with a smooth edge."""
    if mask is None:
        soft = smoothed(_distance(centre, image.shape) <= radius, sigma)
    else:
        soft = _smoothed_mask(mask, sigma)
    return image * torch.from_numpy(lowered(soft, share))


def smoothed(inside: np.ndarray, sigma: float) -> np.ndarray:
    """Return a region of 0 and 1 filtered by a Gaussian, in voxels."""
    soft: np.ndarray = ndimage.gaussian_filter(inside.astype(np.float64), sigma)
    return soft


def lowered(soft: np.ndarray, share: float) -> np.ndarray:
    """Return what each voxel is multiplied with where a share is lost in a smoothed region."""
    factors: np.ndarray = (1 - share * soft).astype(np.float32)
    return factors


@lru_cache(maxsize=4)
def _smoothed_mask(mask: Path, sigma: float) -> np.ndarray:
    return smoothed(images.read(mask).voxels != 0, sigma)


def draw_atrophy(settings: Atrophy, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return how much volume the centre loses, and the ball."""
    volume = generator.uniform(*settings.volume)
    centre, radius = _draw_ball(settings.radius, generator, shape)
    return partial(atrophy, volume=volume, centre=centre, radius=radius)


def atrophy(image: Tensor, *, volume: float, centre: Sequence[float], radius: float) -> Tensor:
    """Return the sample with a ball shrunk about its centre, and what is outside of it unmoved.

    At distance r the new sample has the value that was at r (1 + a (1 - r^2 / radius^2)^2), with
    (1 + a)^n = 1 / (1 - volume) in n dimensions. For a between -1 and 1.25, as the bounds of the
    settings make it, nothing folds.
    """
    n_axes = image.ndim - 1
    stretch = (1 - volume) ** (-1 / n_axes) - 1
    share = _distance(centre, image.shape) / max(radius, 1e-6)
    inside = share < 1
    place = np.argwhere(inside).T.astype(np.float64)
    from_centre = place - np.asarray(centre)[:, np.newaxis]
    where = place + from_centre * stretch * (1 - share[inside] ** 2) ** 2
    shrunk = image.numpy().copy()
    for channel in shrunk:
        channel[inside] = ndimage.map_coordinates(channel, where, order=1, mode="nearest")
    return torch.from_numpy(shrunk)


def _draw_ball(
    radius: tuple[float, float], generator: np.random.Generator, shape: Shape
) -> tuple[tuple[float, ...], float]:
    """Return the centre of a ball in the middle half of each axis, and its radius, in voxels."""
    space = np.array(shape[1:])
    centre = generator.uniform(space / 4, 3 * space / 4)
    return tuple(centre.tolist()), float(generator.uniform(*radius) * space.min())


def _distance(centre: Sequence[float], shape: Shape) -> np.ndarray:
    """Return the distance of each voxel of a sample from a point."""
    grid = np.ogrid[tuple(slice(size) for size in shape[1:])]
    squared = [(axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)]
    distance: np.ndarray = np.sqrt(np.asarray(sum(squared)))
    return distance


def draw_flip(settings: Flip, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the turning round of the axes of the settings.

    Raises
    ------
    UsageError
        The sample has no such axis.
    """
    if max(settings.axes, default=0) >= len(shape) - 1:
        raise UsageError(
            "A sample cannot be flipped along an axis that it does not have",
            where="Flip.axes",
            found=max(settings.axes),
            fix=f"These samples have the axes 0 to {len(shape) - 2}",
        )
    return partial(flip, axes=settings.axes)


def flip(image: Tensor, *, axes: Sequence[int]) -> Tensor:
    """Return the sample turned round along some axes of space."""
    return image.flip([axis + 1 for axis in axes])


def draw_swap(settings: RandomSwap, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return pairs of places that change their content; the two of a pair do not overlap.

    Raises
    ------
    UsageError
        The sample has no room for two patches.
    """
    edge, space = settings.patch_size, np.array(shape[1:])
    if (space < edge).any() or (space < 2 * edge).all():
        raise UsageError(
            "Two patches of this size do not fit into a sample",
            where="RandomSwap.patch_size",
            found=f"{edge}, in {'x'.join(str(size) for size in space)}",
            fix="Choose a smaller patch_size",
        )
    pairs = np.empty((0, 2, len(space)), dtype=np.int64)
    while len(pairs) < settings.iterations:
        tried = generator.integers(space - edge + 1, size=(settings.iterations, 2, len(space)))
        apart = (np.abs(tried[:, 0] - tried[:, 1]) >= edge).any(axis=1)
        pairs = np.concatenate([pairs, tried[apart]])
    return partial(swap, edge=edge, pairs=pairs[: settings.iterations].tolist())


def swap(image: Tensor, *, edge: int, pairs: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Return the sample with patches exchanged, one pair after the other.

    ``pairs`` holds the first voxels of the two patches of each pair.
    """
    swapped = image.clone()
    for pair in pairs:
        one, other = (
            (slice(None), *(slice(start, start + edge) for start in place)) for place in pair
        )
        kept = swapped[one].clone()
        swapped[one] = swapped[other]
        swapped[other] = kept
    return swapped


def draw_bias_field(settings: BiasField, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a polynomial, its coefficients by the powers of the axes."""
    coefficients = np.zeros((settings.order + 1,) * (len(shape) - 1))
    reach = settings.coefficients
    for powers in product(range(settings.order + 1), repeat=len(shape) - 1):
        if sum(powers) <= settings.order:
            coefficients[powers] = generator.uniform(-reach, reach)
    return partial(bias_field, coefficients=coefficients)


def bias_field(image: Tensor, *, coefficients: np.ndarray) -> Tensor:
    """Return the sample times the exponential of a polynomial of the place, -1 to 1 on each axis.

    ``coefficients[i, j, k]`` belongs to x^i y^j z^k.
    """
    field = coefficients
    for size in image.shape[1:]:
        # Each turn replaces the powers of the first axis by its voxels, as the last axis.
        place = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
        field = np.polynomial.polynomial.polyval(place, field)
    return image * torch.from_numpy(np.exp(field).astype(np.float32))


def draw_motion(settings: Motion, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the moves, and when they happen as shares of the acquisition."""
    n = settings.n_moves
    late = generator.uniform(-PERTURBATION, PERTURBATION, n)
    return partial(
        motion,
        degrees=generator.uniform(*settings.degrees, (n, 3)),
        translation=generator.uniform(*settings.translation, (n, 3)),
        times=(np.arange(1, n + 1) + late) / (n + 1),
    )


def motion(
    image: Tensor,
    *,
    degrees: np.ndarray,
    translation: np.ndarray,
    times: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """Return the sample as if it had moved at some times of its acquisition.

    Shapes (moves, 3), (moves, 3) and (moves,). The translation is in units of ``spacing``, the
    edges of a voxel: in voxels by default.
    """
    return _changed(
        image,
        _torchio().Motion(
            degrees=degrees, translation=translation, times=times, image_interpolation="linear"
        ),
        spacing,
    )


def draw_ghosting(settings: Ghosting, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the number of ghosts, their axis and their strength."""
    return partial(
        ghosting,
        n_ghosts=int(generator.integers(*settings.n_ghosts, endpoint=True)),
        axis=int(generator.integers(len(shape) - 1)),
        intensity=generator.uniform(*settings.intensity),
    )


def ghosting(image: Tensor, *, n_ghosts: int, axis: int, intensity: float) -> Tensor:
    """Return the sample with every n-th plane of its spectrum weakened, except the middle one."""
    return _changed(
        image,
        _torchio().Ghosting(num_ghosts=n_ghosts, axis=axis, intensity=intensity, restore=None),
    )


def draw_spike(settings: Spike, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the places of the spikes in the spectrum, as shares of its axes, and their size."""
    return partial(
        spike,
        places=generator.random((settings.n_spikes, len(shape) - 1)),
        intensity=generator.uniform(*settings.intensity),
    )


def spike(image: Tensor, *, places: np.ndarray, intensity: float) -> Tensor:
    """Return the sample with its largest spectral value, times a number, added at some places."""
    return _changed(image, _torchio().Spike(spikes_positions=places, intensity=intensity))


def draw_affine(settings: Affine, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return a scaling, a rotation and a shift, one number an axis each."""
    axes = len(shape) - 1
    return partial(
        affine,
        scales=generator.uniform(1 - settings.scales, 1 + settings.scales, axes).tolist(),
        degrees=generator.uniform(-settings.degrees, settings.degrees, axes).tolist(),
        translation=generator.uniform(-settings.translation, settings.translation, axes).tolist(),
    )


def affine(
    image: Tensor,
    *,
    scales: Sequence[float],
    degrees: Sequence[float],
    translation: Sequence[float],
) -> Tensor:
    """Return the sample scaled, turned and moved about its centre; its smallest value enters."""
    return _changed(
        image, _torchio().Affine(scales=scales, degrees=degrees, translation=translation)
    )


def draw_elastic(settings: Elastic, generator: np.random.Generator, shape: Shape) -> Applied:
    """Return the moves of the control points; none is so long that the space could fold."""
    n = settings.n_control_points
    distance = (np.array(shape[1:]) - 1) / (n - SPLINE_ORDER)
    reach = np.minimum(settings.max_displacement, distance / 2)
    moves = np.zeros((n, n, n, 3))
    free = slice(LOCKED, n - LOCKED)
    moves[free, free, free] = generator.uniform(-reach, reach, (n - 2 * LOCKED,) * 3 + (3,))
    return partial(elastic, moves=moves, longest=tuple(reach.tolist()))


def elastic(image: Tensor, *, moves: np.ndarray, longest: Sequence[float]) -> Tensor:
    """Return the sample deformed by a cubic spline whose control points move; shape (n, n, n, 3).

    ``longest`` is the bound of the moves along each axis, in voxels.
    """
    return _changed(
        image,
        _torchio().ElasticDeformation(control_points=moves, max_displacement=tuple(longest)),
    )


def _torchio() -> Any:
    """Return the module TorchIO.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return import_module("torchio")
    except ModuleNotFoundError as error:
        raise MissingExtraError("torchio", "augment") from error


def _changed(image: Tensor, transform: Any, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Return the sample after a transform of TorchIO that draws nothing."""
    torchio = _torchio()
    affine = np.diag([*spacing, 1.0])
    sample = torchio.Subject(image=torchio.ScalarImage(tensor=image, affine=affine))
    # To call the transform would toss a coin with the generator that torch shares with everybody.
    changed: Tensor = transform.apply_transform(sample)["image"].data
    return changed
