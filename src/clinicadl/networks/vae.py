"""Autoencoders whose code is a list of numbers, variational ones and a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from clinicadl.config.autoencoders import (
    CVAE3D,
    CAEHalf,
    CVAE3DFinalConv,
    CVAE3DHalf,
    Vanilla3DDenseVAE,
    VanillaDenseVAE,
)
from clinicadl.errors import UsageError
from clinicadl.networks.fits import check_input
from clinicadl.networks.variational import Variational, drawn_code

STRIDED = (32, 64, 128)
"""Channels of the strided convolutions of `CAE` and `ConvolutionalVAE`."""


class EncoderLayer(nn.Module):
    """A convolution of stride 2, batch normalisation and leaky ReLU.

    A kernel of 4 makes of size ``n`` its half, rounded down, and a kernel of 3 rounded up.
    """

    def __init__(self, given: int, made: int, *, n_axes: int, kernel: int = 4) -> None:
        super().__init__()
        convolution = nn.Conv3d if n_axes == 3 else nn.Conv2d
        self.layer = nn.Sequential(
            convolution(given, made, kernel, stride=2, padding=1, bias=False),
            _batch_norm(made, n_axes),
            nn.LeakyReLU(0.2),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the size."""
        halved: Tensor = self.layer(maps)
        return halved


class DecoderLayer(nn.Module):
    """A transposed convolution of stride 2 to a given size, batch normalisation and ReLU."""

    def __init__(self, given: int, made: int, *, size: Sequence[int], kernel: int = 4) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            _to_size(given, made, size=size, kernel=kernel, bias=False),
            _batch_norm(made, len(size)),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the size."""
        doubled: Tensor = self.layer(maps)
        return doubled


class CAE(nn.Module):
    """Three strided convolutions, a linear code, and three transposed convolutions.

    Parameters
    ----------
    input_shape
        Channels, then the size of the image along its 3 axes.
    latent_size
        Numbers of the code.
    """

    def __init__(self, input_shape: tuple[int, ...], *, latent_size: int) -> None:
        super().__init__()
        n_channels, *size = input_shape
        sizes = _halved(size, len(STRIDED), round_up=True)
        first, second, third = STRIDED
        self.encoder = nn.Sequential(
            EncoderLayer(n_channels, first, n_axes=3, kernel=3),
            EncoderLayer(first, second, n_axes=3, kernel=3),
            EncoderLayer(second, third, n_axes=3, kernel=3),
            nn.Flatten(),
            nn.Linear(third * prod(sizes[3]), latent_size),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, 2 * third * prod(sizes[3])),
            nn.Unflatten(1, (2 * third, *sizes[3])),
            DecoderLayer(2 * third, third, size=sizes[2], kernel=3),
            DecoderLayer(third, second, size=sizes[1], kernel=3),
            DecoderLayer(second, n_channels, size=sizes[0], kernel=3),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the images as the decoder gives them back.

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


class DenseVAE(nn.Module):
    """Strided convolutions, a linear layer, a normal code, and the way back to [0, 1].

    Parameters
    ----------
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    latent_size
        Numbers of the code.
    feature_size
        Outputs of the linear layer between maps and code; 0 for none.
    n_layers
        Strided convolutions.
    n_first
        Channels of the first; each further one doubles them.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        *,
        latent_size: int,
        feature_size: int,
        n_layers: int,
        n_first: int,
    ) -> None:
        super().__init__()
        n_channels, *size = input_shape
        sizes = _halved(size, n_layers, round_up=False)
        widths = [n_first * 2**level for level in range(n_layers)]
        n_values = widths[-1] * prod(sizes[-1])
        n_features = feature_size or n_values
        self.encoder = nn.Sequential(
            *(
                EncoderLayer(given, made, n_axes=len(size))
                for given, made in zip([n_channels, *widths[:-1]], widths, strict=True)
            ),
            nn.Flatten(),
        )
        to_maps: nn.Module = nn.Linear(latent_size, n_values)
        if feature_size:
            self.encoder.append(nn.Sequential(nn.Linear(n_values, feature_size), nn.ReLU()))
            to_maps = nn.Sequential(
                nn.Linear(latent_size, feature_size),
                nn.ReLU(),
                nn.Linear(feature_size, n_values),
                nn.ReLU(),
            )
        self.mu_layer = nn.Linear(n_features, latent_size)
        self.var_layer = nn.Linear(n_features, latent_size)
        self.decoder = nn.Sequential(
            to_maps,
            nn.Unflatten(1, (widths[-1], *sizes[-1])),
            *(
                DecoderLayer(widths[level], widths[level - 1], size=sizes[level])
                for level in reversed(range(1, n_layers))
            ),
            nn.Sequential(
                _to_size(n_first, n_channels, size=size, kernel=4, bias=False), nn.Sigmoid()
            ),
        )

    def forward(self, images: Tensor) -> Variational:
        """Return the reconstruction, of a drawn code in training, and the code's distribution.

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        features = self.encoder(images)
        mu, log_variance = self.mu_layer(features), self.var_layer(features)
        code = drawn_code(mu, log_variance) if self.training else mu
        return Variational(self.decoder(code), mu, log_variance)


class ConvolutionalVAE(nn.Module):
    """Three strided convolutions, a normal code with means in [-1, 1], and the way back.

    ``bn4`` and ``bn7`` are unused without ``is_smoothed``; the published weights hold them.

    Parameters
    ----------
    input_shape
        Channels, then the size of the image along its 3 axes.
    latent_size
        Numbers of the code.
    activations
        Of the encoder and of the decoder.
    output
        What the reconstruction passes last.
    is_smoothed
        Whether normalisation is that of instances and a last convolution follows.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        *,
        latent_size: int,
        activations: tuple[nn.Module, nn.Module],
        output: nn.Module,
        is_smoothed: bool = False,
    ) -> None:
        super().__init__()
        n_channels, *size = input_shape
        sizes = _halved(size, len(STRIDED), round_up=True)
        first, second, third = STRIDED
        n_values = third * prod(sizes[3])
        self.encoder_activation, self.decoder_activation = activations
        self.output = output
        self.conv1 = nn.Conv3d(n_channels, first, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv3d(first, second, kernel_size=3, stride=2, padding=1)
        self.conv3 = nn.Conv3d(second, third, kernel_size=3, stride=2, padding=1)
        self.fc10 = nn.Linear(n_values, latent_size)
        self.fc11 = nn.Linear(n_values, latent_size)
        self.fc2 = nn.Linear(latent_size, 2 * n_values)
        self.to_maps = nn.Unflatten(1, (2 * third, *sizes[3]))
        self.upconv1 = _to_size(2 * third, third, size=sizes[2], kernel=3)
        self.upconv2 = _to_size(third, second, size=sizes[1], kernel=3)
        self.upconv4 = _to_size(second, n_channels, size=sizes[0], kernel=3)
        # Instance normalisation has no weights, so that its name does not matter.
        norm = nn.InstanceNorm3d if is_smoothed else nn.BatchNorm3d
        self.bn1, self.bn2, self.bn3 = norm(first), norm(second), norm(third)
        self.bn4, self.bn5, self.bn6 = norm(third), norm(third), norm(second)
        self.bn7 = norm(n_channels if is_smoothed else first)
        self.final: nn.Module | None = None
        if is_smoothed:
            self.final = nn.Conv3d(n_channels, n_channels, kernel_size=3, padding=1)

    def forward(self, images: Tensor) -> Variational:
        """Return the reconstruction, of a drawn code in training, and the code's distribution.

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        activation = self.encoder_activation
        maps = activation(self.bn1(self.conv1(images)))
        maps = activation(self.bn2(self.conv2(maps)))
        maps = activation(self.bn3(self.conv3(maps)))
        features = maps.flatten(1)
        mu, log_variance = torch.tanh(self.fc10(features)), self.fc11(features)
        code = drawn_code(mu, log_variance) if self.training else mu
        return Variational(self._decoded(code), mu, log_variance)

    def _decoded(self, code: Tensor) -> Tensor:
        activation = self.decoder_activation
        maps = self.to_maps(activation(self.fc2(code)))
        maps = activation(self.bn5(self.upconv1(maps)))
        maps = activation(self.bn6(self.upconv2(maps)))
        maps = self.upconv4(maps)
        if self.final is not None:
            maps = self.final(activation(self.bn7(maps)))
        reconstruction: Tensor = self.output(maps)
        return reconstruction


def cae_half(settings: CAEHalf, input_shape: tuple[int, ...], n_outputs: int) -> CAE:
    """Return a CAE_half.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Of no meaning here: it gives the input back.
    """
    check_input(settings, input_shape)
    return CAE(input_shape, latent_size=settings.latent_space_size)


def dense_vae(
    settings: Vanilla3DDenseVAE | VanillaDenseVAE, input_shape: tuple[int, ...], n_outputs: int
) -> DenseVAE:
    """Return a Vanilla3DdenseVAE, or a VanillaDenseVAE for slices.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its axes.
    n_outputs
        Of no meaning here: it gives the input back.

    Raises
    ------
    UsageError
        The input has another number of axes, or is too small for the number of convolutions.
    """
    check_input(settings, input_shape)
    if min(input_shape[1:]) < 2**settings.n_conv:
        raise UsageError(
            f"The image is too small for {settings.n_conv} strided convolutions",
            found=" x ".join(map(str, input_shape)),
            fix=f"Each axis needs a size of {2**settings.n_conv}, or choose another --n-conv",
        )
    return DenseVAE(
        input_shape,
        latent_size=settings.latent_space_size,
        feature_size=settings.feature_size,
        n_layers=settings.n_conv,
        n_first=settings.io_layer_channels,
    )


def cvae_3d_half(
    settings: CVAE3DHalf, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalVAE:
    """Return a CVAE_3D_half.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Of no meaning here: it gives the input back.
    """
    check_input(settings, input_shape)
    return ConvolutionalVAE(
        input_shape,
        latent_size=settings.latent_space_size,
        activations=(nn.LeakyReLU(0.2), nn.ReLU()),
        output=nn.Sigmoid(),
    )


def cvae_3d_final_conv(
    settings: CVAE3DFinalConv, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalVAE:
    """Return a CVAE_3D_final_conv.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Of no meaning here: it gives the input back.

    Raises
    ------
    UsageError
        The input has another number of axes, or its smallest map would be a single voxel.
    """
    check_input(settings, input_shape)
    if max(input_shape[1:]) <= 2 ** len(STRIDED):
        raise UsageError(
            f"{settings.name} cannot normalise the single voxel that is left of such an image",
            found=" x ".join(map(str, input_shape)),
            fix="It takes channels x X x Y x Z, one of the sizes at least 9",
        )
    return ConvolutionalVAE(
        input_shape,
        latent_size=settings.latent_space_size,
        activations=(nn.LeakyReLU(0.2), nn.LeakyReLU()),
        output=nn.Sigmoid(),
        is_smoothed=True,
    )


def cvae_3d(settings: CVAE3D, input_shape: tuple[int, ...], n_outputs: int) -> ConvolutionalVAE:
    """Return a CVAE_3D.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Of no meaning here: it gives the input back.
    """
    check_input(settings, input_shape)
    return ConvolutionalVAE(
        input_shape,
        latent_size=settings.latent_space_size,
        activations=(nn.ReLU(), nn.ReLU()),
        output=nn.ReLU(),
    )


def _batch_norm(n_channels: int, n_axes: int) -> nn.Module:
    return nn.BatchNorm3d(n_channels) if n_axes == 3 else nn.BatchNorm2d(n_channels)


def _to_size(
    given: int, made: int, *, size: Sequence[int], kernel: int, bias: bool = True
) -> nn.Module:
    """Return the transposed convolution of stride 2 that gives maps of a size."""
    # The stubs want tuples whose length they know.
    transposed: Any = nn.ConvTranspose3d if len(size) == 3 else nn.ConvTranspose2d
    layer: nn.Module = transposed(
        given,
        made,
        kernel_size=kernel,
        stride=2,
        padding=1,
        output_padding=tuple((one + kernel) % 2 for one in size),
        bias=bias,
    )
    return layer


def _halved(size: Sequence[int], n_times: int, *, round_up: bool) -> list[list[int]]:
    """Return a size and what is left of it after each of some strided convolutions."""
    sizes = [list(size)]
    for _ in range(n_times):
        sizes.append([(one + round_up) // 2 for one in sizes[-1]])
    return sizes
