"""Two networks of release 1.x on volumes: ResNet3D, and the same with squeeze and excitation [1]_.

References
----------
.. [1] Hu et al., Squeeze-and-excitation networks, CVPR 2018, doi:10.1109/CVPR.2018.00745
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from clinicadl.config.network import ResNet3D, SqueezeExcitationCNN
from clinicadl.networks.cnn import ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.pools import GlobalAverage, MaxPool

CHANNELS = (8, 16, 32, 64, 128)
"""Channels that each stage gives."""
POOL = 3
"""Edge of the windows that end a stage."""
HIDDEN = 256
"""Outputs of the first linear layer."""
SQUEEZED = 8
"""Channels for each value that they are squeezed into."""


class SqueezeExcitation(nn.Module):
    """Each channel times a number between 0 and 1 that depends on the means of all channels.

    Parameters
    ----------
    n_channels
        Channels of the maps.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.average = GlobalAverage()
        self.fc1 = nn.Linear(n_channels, n_channels // SQUEEZED)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(n_channels // SQUEEZED, n_channels)
        self.sigmoid = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighed maps."""
        means = self.average(maps).flatten(1)
        weights = self.sigmoid(self.fc2(self.relu(self.fc1(means))))
        weighed: Tensor = maps * weights[..., None, None, None]
        return weighed


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 3, and a projection of the input added to what they give.

    Parameters
    ----------
    given
        Channels of the input.
    made
        Channels of the output.
    squeezes
        Whether squeeze and excitation, and ReLU, take the place of ELU.
    """

    def __init__(self, given: int, made: int, *, squeezes: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(given, made, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(made)
        self.conv2 = nn.Conv3d(made, made, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(made)
        self.se_block = SqueezeExcitation(made) if squeezes else nn.Identity()
        self.shortcut = nn.Sequential(nn.Conv3d(given, made, 1, bias=False))
        self.activation = nn.ReLU() if squeezes else nn.ELU()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps of the block."""
        made = self.activation(self.bn1(self.conv1(maps)))
        made = self.se_block(self.bn2(self.conv2(made)))
        summed: Tensor = self.activation(made + self.shortcut(maps))
        return summed


def _stages(n_channels: int, *, squeezes: bool) -> nn.Sequential:
    return nn.Sequential(
        *(
            nn.Sequential(ResidualBlock(given, made, squeezes=squeezes), MaxPool(POOL))
            for given, made in zip((n_channels, *CHANNELS), CHANNELS, strict=False)
        )
    )


def _n_features(sizes: Sequence[int]) -> int:
    for _ in CHANNELS:
        sizes = [(size - POOL) // 2 + 1 for size in sizes]
    return CHANNELS[-1] * prod(sizes)


def resnet3d(
    settings: ResNet3D, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a ResNet3D, for images of any size that its pools leave something of.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes; 1 x 169 x 208 x 179 in release 1.x.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 3 axes, or is too small.
    """
    check_input(settings, input_shape)
    return ConvolutionalNetwork(
        _stages(input_shape[0], squeezes=False),
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(_n_features(input_shape[1:]), HIDDEN),
            nn.ELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(HIDDEN, n_outputs),
        ),
    )


def squeeze_excitation_cnn(
    settings: SqueezeExcitationCNN, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a SqueezeExcitationCNN, for images of any size that its pools leave something of.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes; 1 x 169 x 208 x 179 in release 1.x.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 3 axes, or is too small.
    """
    check_input(settings, input_shape)
    return ConvolutionalNetwork(
        _stages(input_shape[0], squeezes=True),
        nn.Sequential(
            nn.Flatten(),
            nn.Dropout(settings.dropout),
            nn.Linear(_n_features(input_shape[1:]), HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, n_outputs),
        ),
    )
