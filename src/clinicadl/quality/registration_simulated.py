"""Images that are wrong in a known way, made from good ones, to calibrate and judge the check."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.transform import Rotation

from clinicadl.layouts.images import Image

Affine = NDArray[np.float64]

_CENTRE_MM = np.array([0.0, -18.0, 8.0])
"""Of the brain of MNI152."""
_CROP_MM = (12.0, 13.0, 0.0)
"""What t1-linear cuts off in front of each axis."""
_BACKGROUND = 0.02
_TOLERATED_MM, _TOLERATED_DEGREES, _TOLERATED_SCALE = 1.5, 1.5, 0.015
"""What is no fault yet."""


class Fault(NamedTuple):
    """One way to be wrong."""

    unit: str
    sizes: tuple[float, ...]
    """Those that are judged; one 0 where there are none."""
    make: Callable[[Image, float, Generator], Image]


def tolerated(image: Image, draw: Generator) -> Image:
    """Return an image that is off by as little as registrations of one brain differ."""
    angle = draw.uniform(0, _TOLERATED_DEGREES)
    motion = _rotation(angle, draw) @ np.diag(
        [*(1 + draw.uniform(-_TOLERATED_SCALE, _TOLERATED_SCALE, 3)), 1]
    )
    motion[:3, 3] = draw.uniform(0, _TOLERATED_MM) * _direction(draw)
    return _moved(image, motion)


def varied(image: Image, draw: Generator) -> Image:
    """Return an image as another scanner may show it: contrast, bias field, noise, brain mask."""
    voxels = image.voxels
    brain = voxels > _BACKGROUND * voxels.max()
    if draw.random() < 0.5:
        brain = binary_erosion(brain)
    highest = float(np.percentile(voxels[brain], 99.5))
    relative = np.clip(voxels / highest, 0, None) ** draw.uniform(0.4, 1.6)
    field = gaussian_filter(draw.normal(size=voxels.shape), [size / 5 for size in voxels.shape])
    relative *= np.exp(draw.uniform(0, 0.25) * field / np.abs(field).max())
    relative += draw.uniform(0, 0.05) * draw.normal(size=voxels.shape)
    made = np.where(brain, np.clip(relative, 0, None), 0).astype(np.float32)
    return image._replace(voxels=made)


def _moved(image: Image, motion: Affine) -> Image:
    """Return an image moved about the centre of the brain; its voxels keep their values."""
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = _CENTRE_MM, -_CENTRE_MM
    return image._replace(affine=there @ motion @ back @ image.affine)


def _direction(draw: Generator) -> NDArray[np.float64]:
    vector = draw.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _rotation(degrees: float, draw: Generator) -> Affine:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * _direction(draw)).as_matrix()
    return motion


def _shift(image: Image, size: float, draw: Generator) -> Image:
    motion = np.eye(4)
    motion[:3, 3] = size * _direction(draw)
    return _moved(image, motion)


def _turn(image: Image, size: float, draw: Generator) -> Image:
    return _moved(image, _rotation(size, draw))


def _scale(image: Image, size: float, draw: Generator) -> Image:
    axes = ([0], [1], [2], [0, 1, 2])[draw.integers(4)]
    factors = np.ones(4)
    factors[axes] += draw.choice([-1, 1]) * size / 100
    return _moved(image, np.diag(factors))


def _shear(image: Image, size: float, draw: Generator) -> Image:
    motion = np.eye(4)
    row, column = draw.permutation(3)[:2]
    motion[row, column] = draw.choice([-1, 1]) * np.tan(np.deg2rad(size))
    return _moved(image, motion)


def _flip(axis: int) -> Callable[[Image, float, Generator], Image]:
    def flip(image: Image, size: float, draw: Generator) -> Image:
        factors = np.ones(4)
        factors[axis] = -1
        return _moved(image, np.diag(factors))

    return flip


def _swap(image: Image, size: float, draw: Generator) -> Image:
    order = ([1, 0, 2], [0, 2, 1], [2, 1, 0])[draw.integers(3)]
    return _moved(image, np.eye(4)[[*order, 3]])


def _crop(image: Image, size: float, draw: Generator) -> Image:
    motion = np.eye(4)
    motion[:3, 3] = draw.choice([-1, 1]) * np.array(_CROP_MM)
    return _moved(image, motion)


def _cut(image: Image, size: float, draw: Generator) -> Image:
    """Return an image without the top or the bottom of the brain."""
    height = image.affine[2, :3] @ np.stack(
        np.meshgrid(*map(np.arange, image.voxels.shape), indexing="ij")
    ).reshape(3, -1) + image.affine[2, 3]  # fmt: skip
    of_brain = height[image.voxels.ravel() > _BACKGROUND * image.voxels.max()]
    low, high = np.percentile(of_brain, [0.5, 99.5])
    gone = height > high - size if draw.random() < 0.5 else height < low + size
    return image._replace(voxels=np.where(gone.reshape(image.voxels.shape), 0, image.voxels))


def _invert(image: Image, size: float, draw: Generator) -> Image:
    voxels = image.voxels
    brain = voxels > _BACKGROUND * voxels.max()
    made = np.where(brain, 1.1 * np.percentile(voxels, 99.9) - voxels, 0)
    return image._replace(voxels=np.clip(made, 0, None).astype(np.float32))


def _noise(image: Image, size: float, draw: Generator) -> Image:
    made = np.abs(draw.normal(size=image.voxels.shape)).astype(np.float32)
    return image._replace(voxels=made)


_ONE = (0.0,)

FAULTS = {
    "shift": Fault("mm", (4, 6, 8, 12, 20), _shift),
    "rotation": Fault("degrees", (4, 8, 15, 30), _turn),
    "scale": Fault("%", (8, 15, 25), _scale),
    "shear": Fault("degrees", (4, 8, 15), _shear),
    "truncated": Fault("mm", (8, 16, 30), _cut),
    "wrong crop": Fault("", _ONE, _crop),
    "flipped along y": Fault("", _ONE, _flip(1)),
    "flipped along z": Fault("", _ONE, _flip(2)),
    "flipped along x": Fault("", _ONE, _flip(0)),
    "axes swapped": Fault("", _ONE, _swap),
    "inverted contrast": Fault("", _ONE, _invert),
    "noise alone": Fault("", _ONE, _noise),
}
DETECTABLE = {name: fault for name, fault in FAULTS.items() if name != "flipped along x"}
"""A brain and its mirror image look the same to what compares them with a symmetric one."""
LEAST = {"shift": 8.0, "rotation": 8.0, "scale": 15.0, "shear": 8.0, "truncated": 16.0}
"""Size from which on a fault counts as one; smaller ones are between good and wrong."""
