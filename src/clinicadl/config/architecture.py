"""What the settings of every network say beside its parameters: what it is for, and its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from clinicadl.config.base import Choice, linked, setting

CLASSIFIERS = ("classification", "regression")
"""Tasks of a network that gives one number, or one a class."""


def dropout(default: float = 0.0) -> Any:
    """Return the field of the dropout of a network."""
    return setting(default, "Share of features dropped before the linear layers", ge=0, lt=1)


def pretrained() -> Any:
    """Return the field of a file of ImageNet weights."""
    return setting(None, "File of first weights from ImageNet, as torchvision publishes them")


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
    """An input shape that it takes, at which `list_models` counts its parameters."""
    reference: ClassVar[str]
    """Where it was published."""
    channels: ClassVar[int | None] = None
    """Number of channels that it needs; none: any."""
    smallest: ClassVar[int] = 1
    """Least size along each axis."""
    multiple_of: ClassVar[int] = 1
    """What each size is a multiple of."""
    kl_weight: ClassVar[float] = 1.0
    """Weight of the divergence in the loss of a variational network, where none is given."""
    n_domains: ClassVar[int] = 1
    """Kinds of images that it learns from at once; two for domain adaptation."""
    starts: ClassVar[str | None] = None
    """``module:function`` that gives a new network weights that are not random."""
    needed: ClassVar[Mapping[str, Any]] = {}
    """An example of the settings that have no default."""

    def start(self, network: Any) -> None:
        """Give a new network the weights that these settings name, if they name any.

        Networks that are read back are not started: they have their weights already. On torch's
        meta device nothing is copied, and everything is checked.

        Raises
        ------
        ClinicaDLError
            The weights cannot be read, or are not those of this network.
        """
        if self.starts is not None:
            linked(self.starts)(self, network)
