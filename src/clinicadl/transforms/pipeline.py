"""The transforms of an experiment, in order."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from torch import Tensor

from clinicadl.config.transforms import TransformsConfig
from clinicadl.transforms.intensity import min_max, without_nan


class Transform(Protocol):
    """From a stored sample to what the network gets."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return the transformed sample."""
        ...


def pipeline(settings: TransformsConfig) -> Transform:
    """Return the transforms of an experiment as one function: NaN to 0, then the scaling."""
    return partial(_apply, normalize=settings.normalize)


def _apply(image: Tensor, *, normalize: bool) -> Tensor:
    image = without_nan(image)
    return min_max(image) if normalize else image
