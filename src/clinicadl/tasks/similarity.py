"""How near an image that was given back is to the true one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from math import fsum, log10, prod, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:  # the names of the metrics are known without torch
    from torch import Tensor

_RADIUS, _SIGMA = 5, 1.5
_K1, _K2 = 0.01, 0.03
_AT_ONCE = 1_600_000
"""Voxels whose neighbourhoods are compared at once: it bounds the memory."""

RESOLUTION = 2.0**-24
"""Share of the data range that single precision can tell from nothing."""
MOST_PSNR = -20 * log10(RESOLUTION)
"""PSNR of identical images, in dB."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and what was given back of it."""

    true: Tensor
    """Shape (channel, x, y, z) or (channel, a, b)."""
    given: Tensor
    """The same shape."""
    covered: Tensor | None = None
    """Where the two are compared, without the axis of the channels; None: everywhere."""

    @cached_property
    def differences(self) -> Tensor:
        """What was given back less what is true, in double precision, of what is compared."""
        return self._compared(self.given).double() - self._compared(self.true).double()

    @cached_property
    def mean_square(self) -> float:
        """Mean of the squared differences."""
        return self.differences.square().mean().item()

    @cached_property
    def data_range(self) -> float:
        """What an intensity may differ by at most.

        1 for true images within [0, 1], 2 within [-1, 1], else their maximum less their minimum;
        1 if all of their voxels are the same.
        """
        import torch

        low, high = (end.item() for end in torch.aminmax(self._compared(self.true)))
        if low >= -1 and high <= 1:
            return 1.0 if low >= 0 else 2.0
        return float(high - low) or 1.0

    def _compared(self, image: Tensor) -> Tensor:
        return image if self.covered is None else image[:, self.covered]


def mae(pair: Pair) -> float:
    """Return the mean absolute difference."""
    return pair.differences.abs().mean().item()


def mse(pair: Pair) -> float:
    """Return the mean squared difference."""
    return pair.mean_square


def rmse(pair: Pair) -> float:
    """Return the root of the mean squared difference."""
    return sqrt(pair.mean_square)


def psnr(pair: Pair) -> float:
    """Return the peak signal-to-noise ratio, 10 log10(range² / MSE), in dB.

    A root mean squared difference below `RESOLUTION` of the range counts as that much, so that
    identical images have `MOST_PSNR` and a mean over images stays a number.
    """
    share = sqrt(pair.mean_square) / pair.data_range
    return MOST_PSNR if share < RESOLUTION else -20 * log10(share)


def ssim(pair: Pair) -> float:
    """Return the mean structural similarity [1]_ over voxels and channels, between -1 and 1.

    Means, variances and covariance around a voxel are weighed by a Gaussian of standard deviation
    1.5 voxels, 11 voxels wide along each axis, with zeros around the image;
    C1 = (0.01 range)² and C2 = (0.03 range)². Voxels that are not compared count as 0 in both
    images, and their own similarity does not count.

    References
    ----------
    .. [1] Z. Wang et al., Image quality assessment: from error visibility to structural
       similarity, IEEE Transactions on Image Processing 13(4), 2004.
    """
    import torch

    slabs = _slabs(pair.true.shape)
    if pair.true.device.type == "cpu":
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            found = [*pool.map(partial(_judged, pair), slabs)]
    else:
        found = [_judged(pair, slab) for slab in slabs]
    mean = fsum(one.total for one in found) / sum(one.n_voxels for one in found)
    return 1.0 if mean > 1 else mean  # by rounding


class _Slab(NamedTuple):
    """Some planes of one channel, and those behind and before them that have a say."""

    channel: int
    outer: slice
    planes: slice
    inner: slice
    """The planes, counted from the first outer one."""


class _Judged(NamedTuple):
    """The similarity of the voxels of a slab."""

    total: float
    n_voxels: int


def _slabs(shape: Sequence[int]) -> list[_Slab]:
    n_channels, n_planes, *axes = shape
    at_once = max(32, _AT_ONCE // prod(axes))
    found = []
    for channel, start in product(range(n_channels), range(0, n_planes, at_once)):
        stop = min(start + at_once, n_planes)
        first, end = max(0, start - _RADIUS), min(n_planes, stop + _RADIUS)
        inner = slice(start - first, stop - first)
        found.append(_Slab(channel, slice(first, end), slice(start, stop), inner))
    return found


def _judged(pair: Pair, slab: _Slab) -> _Judged:
    import torch

    # On the CPU SciPy takes a tenth of the time of torch's convolution, and the arithmetic around
    # it is NumPy's, which leaves the threads to the slabs.
    on_cpu = pair.true.device.type == "cpu"
    as_array, blurred = (
        (torch.Tensor.numpy, _correlated) if on_cpu else (torch.Tensor.detach, _convolved)
    )
    outer = (one[slab.channel, slab.outer] for one in (pair.true, pair.given))
    x, y = (as_array(one.to(torch.float64, copy=True)) for one in outer)
    if pair.covered is not None:
        outside = as_array(~pair.covered[slab.outer])
        x[outside] = y[outside] = 0
    # Sums and differences say with four means what x, y, their squares and their product say with
    # five, and the means are what takes the time.
    fields = [x + y, x - y]
    means = blurred([*fields, *(field * field for field in fields)], slab.inner)
    similarity = _similarity(means, pair.data_range)
    if pair.covered is not None:
        similarity = similarity[as_array(pair.covered[slab.planes])]
    return _Judged(float(similarity.sum()), prod(similarity.shape))


def _correlated(fields: Sequence[Any], inner: slice) -> list[Any]:
    """Return the weighted means around each voxel of the inner planes, by SciPy."""
    return [_blurred(field, inner) for field in fields]


def _blurred(field: NDArray[np.float64], inner: slice) -> NDArray[np.float64]:
    blurred = ndimage.correlate1d(field, _weights(), 0, mode="constant")[inner]
    for axis in range(1, field.ndim):
        ndimage.correlate1d(blurred, _weights(), axis, output=blurred, mode="constant")
    return blurred


def _convolved(fields: Sequence[Any], inner: slice) -> list[Any]:
    """Return the weighted means around each voxel of the inner planes, by torch."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses

    blurred = torch.stack([*fields]).unsqueeze(1)
    weights = torch.from_numpy(_weights()).to(blurred.device)
    convolution = F.conv3d if blurred.ndim == 5 else F.conv2d
    for axis in range(2, blurred.ndim):
        shape, padding = [1] * blurred.ndim, [0] * (blurred.ndim - 2)
        shape[axis], padding[axis - 2] = len(weights), _RADIUS
        blurred = convolution(blurred, weights.reshape(shape), padding=padding)
    return [*blurred.squeeze(1)[:, inner]]


def _weights() -> NDArray[np.float64]:
    weights = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _similarity(means: Sequence[Any], data_range: float) -> Any:
    """Return the structural similarity at each voxel, from the means of the fields.

    The memory of the means is used up: fresh memory costs more than the arithmetic.
    """
    plus, minus, of_plus, of_minus = means
    plus *= plus
    minus *= minus
    of_plus -= plus
    of_minus -= minus
    # Half the difference of the squared means is twice the product of the means of x and y, half
    # their sum the sum of the squares; so it is with covariance and variances.
    similarity = _quotient(plus, minus, (_K1 * data_range) ** 2)
    similarity *= _quotient(of_plus, of_minus, (_K2 * data_range) ** 2)
    return similarity


def _quotient(one: Any, other: Any, constant: float) -> Any:
    """Return (half the difference + constant) / (half the sum + constant)."""
    above = one - other
    one += other
    for half in (above, one):
        half /= 2
        half += constant
    above /= one
    return above
