"""Convolutional networks of release 1.x: blocks that halve the image, then linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from torch import nn

from clinicadl.config.network import Conv4FC3, Conv5FC3, StrideConv5FC3
from clinicadl.networks.cnn import BATCH_NORMS, CONVOLUTIONS, ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.layers import PadMaxPool

CHANNELS = (8, 16, 32, 64, 128)
"""Channels that each block gives."""


def pooled_blocks(
    n_channels: int, n_axes: int, channels: tuple[int, ...] = CHANNELS
) -> nn.Sequential:
    """Return blocks of convolution, batch normalisation, ReLU and `PadMaxPool`: n becomes n/2.

    Parameters
    ----------
    n_channels
        Channels of the images.
    n_axes
        Axes of space, 2 or 3.
    channels
        Channels that each block gives.
    """
    layers: list[nn.Module] = []
    for given, made in zip((n_channels, *channels), channels, strict=False):
        layers += [*_normalised(given, made, n_axes=n_axes, stride=1), PadMaxPool()]
    return nn.Sequential(*layers)


def strided_blocks(n_channels: int, n_axes: int) -> nn.Sequential:
    """Return blocks of a convolution of stride 2, batch normalisation and ReLU: n becomes n/2.

    Parameters
    ----------
    n_channels
        Channels of the images.
    n_axes
        Axes of space, 2 or 3.
    """
    layers: list[nn.Module] = []
    for given, made in zip((n_channels, *CHANNELS), CHANNELS, strict=False):
        layers += _normalised(given, made, n_axes=n_axes, stride=2)
    return nn.Sequential(*layers)


def _normalised(given: int, made: int, *, n_axes: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        CONVOLUTIONS[n_axes](given, made, kernel_size=3, stride=stride, padding=1),
        BATCH_NORMS[n_axes](made),
        nn.ReLU(),
    )


def n_features(sizes: Sequence[int], channels: tuple[int, ...] = CHANNELS) -> int:
    """Return the number of values that blocks leave of an image: each halves it, rounded up."""
    return prod((channels[-1], *(ceil(size / 2 ** len(channels)) for size in sizes)))


def linear_layers(
    given: int, hidden: tuple[int, int], n_outputs: int, *, dropout: float
) -> nn.Sequential:
    """Return dropout and three linear layers.

    Parameters
    ----------
    given
        Values that they get.
    hidden
        Outputs of the first and of the second linear layer.
    n_outputs
        Outputs of the last layer.
    dropout
        Share of features dropped before the first linear layer, in training.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(given, hidden[0]),
        nn.ReLU(),
        nn.Linear(hidden[0], hidden[1]),
        nn.ReLU(),
        nn.Linear(hidden[1], n_outputs),
    )


def conv5_fc3(
    settings: Conv5FC3, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a Conv5_FC3: linear layers of 1300, 50 and ``n_outputs`` behind five blocks.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    n_channels, *sizes = input_shape
    return ConvolutionalNetwork(
        pooled_blocks(n_channels, len(sizes)),
        linear_layers(n_features(sizes), (1300, 50), n_outputs, dropout=settings.dropout),
    )


def conv4_fc3(
    settings: Conv4FC3, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a Conv4_FC3: linear layers of 50, 40 and ``n_outputs`` behind five blocks.

    The published program has five blocks under this name; so have its weights.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    n_channels, *sizes = input_shape
    return ConvolutionalNetwork(
        pooled_blocks(n_channels, len(sizes)),
        linear_layers(n_features(sizes), (50, 40), n_outputs, dropout=settings.dropout),
    )


def stride_conv5_fc3(
    settings: StrideConv5FC3, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a Stride_Conv5_FC3: Conv5_FC3 whose convolutions halve the image themselves.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    n_channels, *sizes = input_shape
    return ConvolutionalNetwork(
        strided_blocks(n_channels, len(sizes)),
        linear_layers(n_features(sizes), (1300, 50), n_outputs, dropout=settings.dropout),
    )
