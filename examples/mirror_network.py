"""A network of one's own: both hemispheres are looked at with the same weights."""

from itertools import pairwise
from math import prod
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from clinicadl.config.architecture import Architecture
from clinicadl.config.base import setting


class Mirror(Architecture):
    """Looks at an image and at its mirror image, and at what differs between them."""

    builds: ClassVar[str] = "mirror_network:mirror"
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 24, 12, 12)
    reference: ClassVar[str] = "tutorial"
    smallest: ClassVar[int] = 8
    name: Literal["Mirror"] = "Mirror"
    first_channels: int = setting(8, "Channels of the first block; each further one doubles", ge=1)


class MirrorNetwork(nn.Module):
    """Three blocks that halve the image, seen from both sides, and one linear layer."""

    def __init__(
        self, input_shape: tuple[int, ...], n_outputs: int, *, first_channels: int
    ) -> None:
        super().__init__()
        widths = [input_shape[0], *(first_channels * 2**i for i in range(3))]
        self.convolutions = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in (
                    nn.Conv3d(before, after, 3, padding=1),
                    nn.BatchNorm3d(after),
                    nn.LeakyReLU(),
                    nn.MaxPool3d(2),
                )
            ),
            nn.Flatten(),
        )
        n_features = widths[-1] * prod(size // 8 for size in input_shape[1:])
        self.fc = nn.Linear(2 * n_features, n_outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs; the same for an image and for its mirror image."""
        one, other = self.convolutions(images), self.convolutions(images.flip(2))
        outputs: torch.Tensor = self.fc(torch.cat([one + other, (one - other).abs()], dim=1))
        return outputs


def mirror(settings: Mirror, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Return the network that the settings describe, with random weights."""
    return MirrorNetwork(input_shape, n_outputs, first_channels=settings.first_channels)


NETWORKS: dict[str, Any] = {"Mirror": Mirror}
