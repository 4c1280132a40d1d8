"""What the settings of every network say beside its parameters: what it is for, and its input."""

from __future__ import annotations

from typing import ClassVar

from clinicadl.config.base import Choice


class Architecture(Choice):
    """A network: its parameters, and what it can be used for.

    ``build(input_shape, n_outputs)`` returns it with random weights. ``input_shape`` is the number
    of channels, then the size along each axis of space.
    """

    tasks: ClassVar[tuple[str, ...]]
    """Tasks that it can learn: classification, regression, reconstruction."""
    axes: ClassVar[tuple[int, ...]]
    """Numbers of axes of space that it takes: 3 for images, patches and regions, 2 for slices."""
    example: ClassVar[tuple[int, ...]]
    """An input shape that it takes."""
    reference: ClassVar[str]
    """Where it was published."""
    channels: ClassVar[int | None] = None
    """Number of channels that it needs; none: any."""
    smallest: ClassVar[int] = 1
    """Least size along each axis."""
