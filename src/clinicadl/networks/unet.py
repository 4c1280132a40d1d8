"""Networks whose decoder sees the maps of the encoder, too: U-Nets."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from clinicadl.config.autoencoders import GeneratorUNet as GeneratorUNetSettings
from clinicadl.config.autoencoders import UNet as UNetSettings
from clinicadl.errors import UsageError
from clinicadl.networks.fits import check_input


class HalvingLayer(nn.Module):
    """A convolution of stride 2, instance normalisation and leaky ReLU."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv3d(given, made, kernel_size=3, stride=2, padding=1),
            nn.InstanceNorm3d(made),
            nn.LeakyReLU(0.2),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the size."""
        halved: Tensor = self.model(maps)
        return halved


class DoublingLayer(nn.Module):
    """A transposed convolution of stride 2, instance normalisation and ReLU, beside other maps."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.ConvTranspose3d(given, made, kernel_size=4, stride=2, padding=1),
            nn.InstanceNorm3d(made),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor, others: Tensor) -> Tensor:
        """Return maps of twice the size, then the others, along the channels."""
        return torch.cat([self.model(maps), others], 1)


class GeneratorUNet(nn.Module):
    """U-Net of five levels, with an output between -1 and 1.

    Parameters
    ----------
    n_channels
        Channels of the images.

    Notes
    -----
    The decoder sees the maps of the encoder, so that the network can copy its input: a small error
    does not say that it has learnt what images look like.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.down1 = HalvingLayer(n_channels, 64)
        self.down2 = HalvingLayer(64, 128)
        self.down3 = HalvingLayer(128, 256)
        self.down4 = HalvingLayer(256, 512)
        self.down5 = HalvingLayer(512, 512)
        self.up1 = DoublingLayer(512, 512)
        self.up2 = DoublingLayer(1024, 256)
        self.up3 = DoublingLayer(512, 128)
        self.up4 = DoublingLayer(256, 64)
        # A dictionary of one, so that the weights have their published names.
        self.final = nn.ModuleDict()
        self.final["model"] = nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.Conv3d(128, n_channels, kernel_size=3, padding=1),
            nn.Tanh(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network makes of the images, in their shape.

        Parameters
        ----------
        images
            Shape (samples, channels, x, y, z).
        """
        first = self.down1(images)
        second = self.down2(first)
        third = self.down3(second)
        fourth = self.down4(third)
        maps = self.up1(self.down5(fourth), fourth)
        maps = self.up2(maps, third)
        maps = self.up3(maps, second)
        maps = self.up4(maps, first)
        made: Tensor = self.final["model"](maps)
        return made


class ResidualBlock(nn.Module):
    """Two convolutions with group normalisation, added to their input.

    Parameters
    ----------
    given
        Channels of the input.
    made
        Channels of the output, a multiple of 4: the size of a group.
    n_axes
        Axes of space.
    stride
        Of the first convolution and of the shortcut.
    """

    def __init__(self, given: int, made: int, *, n_axes: int, stride: int = 1) -> None:
        super().__init__()
        convolution = nn.Conv3d if n_axes == 3 else nn.Conv2d
        self.layers = nn.Sequential(
            convolution(given, made, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(made // 4, made),
            nn.LeakyReLU(),
            convolution(made, made, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(made // 4, made),
        )
        self.shortcut = convolution(given, made, kernel_size=1, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps that the block makes."""
        return F.leaky_relu(self.layers(maps) + self.shortcut(maps))


class UNet(nn.Module):
    """U-Net [1]_ of residual blocks, with strided convolutions in place of pooling [2]_.

    Images of any size are padded with zeros at their far sides to what the levels divide, and
    cropped back. Groups of channels are normalised and not batches, so that a batch may hold a
    single image.

    Parameters
    ----------
    n_channels
        Channels of the images.
    n_axes
        Their axes of space.
    n_first
        Channels of the first level, a multiple of 4; each further level doubles them.
    n_levels
        Sizes at which the image is looked at; each is half the one before.

    Notes
    -----
    The decoder sees the maps of the encoder, so that the network can copy its input: a small error
    does not say that it has learnt what images look like. Learn to remove noise or to fill
    holes with it, or choose an autoencoder without such shortcuts to find what is unusual.

    References
    ----------
    .. [1] Çiçek et al. 2016, https://arxiv.org/abs/1606.06650
    .. [2] Isensee et al. 2024, https://arxiv.org/abs/2404.09556
    """

    def __init__(self, n_channels: int, *, n_axes: int, n_first: int, n_levels: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if n_axes == 3 else nn.Conv2d
        transposed = nn.ConvTranspose3d if n_axes == 3 else nn.ConvTranspose2d
        widths = [n_first * 2**level for level in range(n_levels)]
        steps = list(pairwise(widths))
        self.first = ResidualBlock(n_channels, n_first, n_axes=n_axes)
        self.down = nn.ModuleList(
            ResidualBlock(fine, coarse, n_axes=n_axes, stride=2) for fine, coarse in steps
        )
        self.up = nn.ModuleList(
            transposed(coarse, fine, kernel_size=2, stride=2) for fine, coarse in steps
        )
        self.joined = nn.ModuleList(
            ResidualBlock(2 * fine, fine, n_axes=n_axes) for fine, _ in steps
        )
        self.last = convolution(n_first, n_channels, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network makes of the images, in their shape.

        Parameters
        ----------
        images
            Shape (samples, channels, x, y) or (samples, channels, x, y, z).
        """
        step = 2 ** len(self.down)
        missing = [side for size in reversed(images.shape[2:]) for side in (0, -size % step)]
        levels = [self.first(F.pad(images, missing))]
        for down in self.down:
            levels.append(down(levels[-1]))
        maps = levels.pop()
        for up, joined in zip(reversed(self.up), reversed(self.joined), strict=True):
            maps = joined(torch.cat([up(maps), levels.pop()], 1))
        made: Tensor = self.last(maps)
        return made[:, :, *[slice(size) for size in images.shape[2:]]]


def generator_unet(
    settings: GeneratorUNetSettings, input_shape: tuple[int, ...], n_outputs: int
) -> GeneratorUNet:
    """Return a GeneratorUNet.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes.
    n_outputs
        Of no meaning here: it gives back an image like the input.

    Raises
    ------
    UsageError
        A size is no multiple of 32, or all of them are 32.
    """
    check_input(settings, input_shape)
    if set(input_shape[1:]) == {settings.smallest}:
        raise UsageError(
            f"{settings.name} cannot take this input", found=" x ".join(map(str, input_shape)),
            fix=f"One size must be {2 * settings.smallest} or more; UNet takes any size",
        )  # fmt: skip
    return GeneratorUNet(input_shape[0])


def unet(settings: UNetSettings, input_shape: tuple[int, ...], n_outputs: int) -> UNet:
    """Return a UNet.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Of no meaning here: it gives back an image like the input.
    """
    check_input(settings, input_shape)
    return UNet(
        input_shape[0],
        n_axes=len(input_shape) - 1,
        n_first=settings.unet_channels,
        n_levels=settings.unet_levels,
    )
