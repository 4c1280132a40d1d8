"""Densely connected networks [1]_ on volumes.

References
----------
.. [1] Huang et al., Densely connected convolutional networks, CVPR 2017,
   doi:10.1109/CVPR.2017.243
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clinicadl.config.modern_networks import DenseNet121In3D
from clinicadl.networks.cnn import BATCH_NORMS, CONVOLUTIONS, ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.pools import AveragePool, GlobalAverage, MaxPool

STEM = 64
"""Channels in front of the first block."""
GROWTH = 32
"""Channels that each layer adds."""
BOTTLENECK = 4 * GROWTH
"""Channels between the two convolutions of a layer."""
N_LAYERS = (6, 12, 24, 16)
"""Layers of each block, in the network of 121 layers."""


class DenseLayer(nn.Module):
    """Two convolutions, whose maps are appended to those that they get.

    Parameters
    ----------
    given
        Channels of the input.
    n_axes
        Axes of space, 2 or 3.
    """

    def __init__(self, given: int, *, n_axes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            BATCH_NORMS[n_axes](given),
            nn.ReLU(),
            CONVOLUTIONS[n_axes](given, BOTTLENECK, 1, bias=False),
            BATCH_NORMS[n_axes](BOTTLENECK),
            nn.ReLU(),
            CONVOLUTIONS[n_axes](BOTTLENECK, GROWTH, 3, padding=1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps, with `GROWTH` channels more."""
        return torch.cat([maps, self.layers(maps)], 1)


def dense_convolutions(n_channels: int, *, n_axes: int) -> tuple[nn.Sequential, int]:
    """Return the convolutions of a DenseNet-121, and the number of channels that they give.

    Parameters
    ----------
    n_channels
        Channels of the images.
    n_axes
        Axes of space, 2 or 3.
    """
    convolution, norm = CONVOLUTIONS[n_axes], BATCH_NORMS[n_axes]
    layers: list[nn.Module] = [
        convolution(n_channels, STEM, 7, stride=2, padding=3, bias=False),
        norm(STEM),
        nn.ReLU(),
        MaxPool(3, padding=1),
    ]
    given = STEM
    for number, n_layers in enumerate(N_LAYERS):
        if number:
            layers += [norm(given), nn.ReLU(), convolution(given, given // 2, 1, bias=False)]
            layers.append(AveragePool())
            given //= 2
        starts = range(given, given + n_layers * GROWTH, GROWTH)
        layers.append(nn.Sequential(*(DenseLayer(start, n_axes=n_axes) for start in starts)))
        given += n_layers * GROWTH
    return nn.Sequential(*layers, norm(given), nn.ReLU(), GlobalAverage()), given


def densenet121_3d(
    settings: DenseNet121In3D, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a DenseNet-121 on volumes.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 3 axes, or is too small.
    """
    check_input(settings, input_shape)
    convolutions, n_channels = dense_convolutions(input_shape[0], n_axes=len(input_shape) - 1)
    fc = nn.Sequential(nn.Flatten(), nn.Dropout(settings.dropout), nn.Linear(n_channels, n_outputs))
    return ConvolutionalNetwork(convolutions, fc)
