"""The transforms of an experiment, in order."""

from __future__ import annotations

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
    return min_max if settings.normalize else without_nan
