"""Convolutional networks: blocks that halve the image, then linear layers."""

from __future__ import annotations

from math import ceil, prod

from torch import Tensor, nn

from clinicadl.config.network import Conv4FC3, Conv5FC3
from clinicadl.errors import UsageError
from clinicadl.networks.layers import PadMaxPool

CHANNELS = (8, 16, 32, 64, 128)
"""Channels that each block gives."""


class ConvolutionalNetwork(nn.Module):
    """Five convolutional blocks, then three linear layers.

    A block is a convolution of kernel 3, batch normalisation, ReLU and `PadMaxPool`. The names and
    indices of the layers are those of the published program, so that its weights fit.

    Parameters
    ----------
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer.
    hidden
        Outputs of the first and of the second linear layer.
    dropout
        Share of features dropped before the first linear layer, in training.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        hidden: tuple[int, int],
        dropout: float,
    ) -> None:
        super().__init__()
        n_channels, *sizes = input_shape
        n_features = CHANNELS[-1] * prod(ceil(size / 2 ** len(CHANNELS)) for size in sizes)
        self.convolutions = nn.Sequential(
            *(
                layer
                for given, made in zip((n_channels, *CHANNELS), CHANNELS, strict=False)
                for layer in _block(given, made, n_axes=len(sizes))
            )
        )
        self.fc = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], n_outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (samples, n_outputs).

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        outputs: Tensor = self.fc(self.convolutions(images))
        return outputs


def _block(given: int, made: int, *, n_axes: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv3d if n_axes == 3 else nn.Conv2d
    normalisation = nn.BatchNorm3d if n_axes == 3 else nn.BatchNorm2d
    return (
        convolution(given, made, kernel_size=3, padding=1),
        normalisation(made),
        nn.ReLU(),
        PadMaxPool(),
    )


def conv5_fc3(
    settings: Conv5FC3, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a Conv5_FC3: linear layers of 1300, 50 and ``n_outputs``.

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
    _check(settings.name, input_shape)
    return ConvolutionalNetwork(input_shape, n_outputs, hidden=(1300, 50), dropout=settings.dropout)


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
    _check(settings.name, input_shape)
    return ConvolutionalNetwork(input_shape, n_outputs, hidden=(50, 40), dropout=settings.dropout)


def _check(name: str, input_shape: tuple[int, ...]) -> None:
    if len(input_shape) not in (3, 4) or min(input_shape) < 1:
        raise UsageError(
            f"{name} cannot take this input",
            found=" x ".join(str(size) for size in input_shape) or "nothing",
            fix="It takes channels x X x Y x Z (three-dimensional) or channels x X x Y (slices), "
            "each at least 1",
        )
