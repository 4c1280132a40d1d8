"""The mirror image of a network's convolutions, and the autoencoder that both make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor, nn

from clinicadl.config.autoencoders import AEConv4FC3, AEConv5FC3, MirroredNetwork
from clinicadl.config.base import from_table
from clinicadl.config.names import nearest
from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError, listed
from clinicadl.networks.fits import check_input
from clinicadl.networks.layers import (
    CropMaxUnpool,
    PadMaxPool,
    Places,
    Windows,
    pair_windows,
    pool_with_places,
)
from clinicadl.networks.recompute import runs

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_MAX_POOLS = (nn.MaxPool2d, nn.MaxPool3d)
_NORMALISATIONS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_MIRRORED_AS_THEY_ARE = (
    nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity,
    nn.Dropout, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip


class Autoencoder(nn.Module):
    """Convolutions, and their mirror image, which gives the input back at its size.

    The decoder puts values where the encoder's poolings found their maxima: what the encoder gives
    cannot be decoded without these places.

    Parameters
    ----------
    convolutions
        Layers that have a mirror image, in sequences that may hold sequences.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    """

    blockwise = ("_encoded", "_decoded")
    """Methods that compute a block of it each."""

    def __init__(self, convolutions: nn.Sequential, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = convolutions
        self.decoder = nn.Sequential(*mirror_image(convolutions, input_shape))

    def forward(self, images: Tensor) -> Tensor:
        """Return the images as the decoder gives them back.

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        maps, found = images, []
        for layers in runs(_leaves(self.encoder)):
            maps, places = self._encoded(layers, maps)
            found.extend(places)
        for layers in runs(self.decoder):
            n_unpoolings = sum(isinstance(layer, CropMaxUnpool) for layer in layers)
            maps = self._decoded(layers, maps, [found.pop() for _ in range(n_unpoolings)])
        return maps

    def _encoded(self, layers: Sequence[nn.Module], maps: Tensor) -> tuple[Tensor, list[Places]]:
        """Return the maps behind some layers, and where their poolings found the maxima."""
        found = []
        for layer in layers:
            if isinstance(layer, (PadMaxPool, *_MAX_POOLS)):
                maps, places = pool_with_places(maps, _windows(layer, maps.shape[2:]))
                found.append(places)
            else:
                maps = layer(maps)
        return maps, found

    def _decoded(
        self, layers: Sequence[nn.Module], maps: Tensor, places: Sequence[Places]
    ) -> Tensor:
        """Return the maps behind some layers, whose unpoolings get the places in turn."""
        left = iter(places)
        for layer in layers:
            maps = layer(maps, next(left)) if isinstance(layer, CropMaxUnpool) else layer(maps)
        return maps


def mirror_image(convolutions: nn.Sequential, input_shape: tuple[int, ...]) -> list[nn.Module]:
    """Return the layers that lead from the maps of some convolutions back to their input.

    The last layer is mirrored first: a convolution by a transposed one that restores the size, a
    pooling by an unpooling, a linear layer by one with inputs and outputs exchanged, a flattening
    by its inverse, a leaky ReLU by one with the inverse slope, a normalisation by one of as many
    channels as reach it, and dropout and other activations by themselves. In volumes a convolution
    and the ReLU behind it change places, so that the ReLU is behind the transposed convolution,
    too; in slices they do not. Both are as published.

    Parameters
    ----------
    convolutions
        Layers in sequences that may hold sequences.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.

    Raises
    ------
    UsageError
        A layer has no mirror image.
    """
    mirrored, without, shape = [], [], input_shape
    for layer in _leaves(convolutions):
        mirror = _mirrored(layer, shape)
        if mirror is None:
            without.append(f"{type(layer).__name__}({layer.extra_repr()})")
            continue
        mirrored.append(mirror)
        shape = _shape_after(layer, shape)
    if without:
        raise UsageError(
            "These layers have no mirror image in an autoencoder", found=listed(without),
            fix="Choose a network without shortcuts, of convolutions and poolings whose windows do "
            "not overlap, such as Conv5_FC3",
        )  # fmt: skip
    if len(input_shape) == 4:
        mirrored = _activated_last(mirrored)
    return list(_fitted(reversed(mirrored), n_channels=shape[0]))


def autoencoder(
    settings: AEConv5FC3 | AEConv4FC3 | MirroredNetwork,
    input_shape: tuple[int, ...],
    n_outputs: int,
) -> Autoencoder:
    """Return the autoencoder of the network that the settings name, made with its defaults.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Of no meaning here: it gives the input back.

    Raises
    ------
    UsageError
        There is no such network, or it has no mirror image, or it cannot take the input.
    """
    check_input(settings, input_shape)
    rows = from_table(NETWORKS, "clinicadl.networks").all_rows()
    if settings.of not in rows:
        raise UsageError(
            "There is no network of this name to mirror", where="--autoencoder-of",
            found=settings.of, fix=f"The nearest are {', '.join(nearest(settings.of, rows))}",
        )  # fmt: skip
    row = rows[settings.of]
    parts: dict[str, nn.Module] = {}
    if not any(field.is_required() for field in row.model_fields.values()):
        parts = dict(row(name=settings.of).build(input_shape, 1).named_children())
    convolutions = parts.get("convolutions")
    if not isinstance(convolutions, nn.Sequential):
        raise UsageError(
            "This network has no convolutions that its name alone could tell",
            where="--autoencoder-of", found=settings.of,
            fix="Choose a network for classification, such as Conv5_FC3",
        )  # fmt: skip
    return Autoencoder(convolutions, input_shape)


def _leaves(layers: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of sequences in sequences, in their order."""
    if isinstance(layers, nn.Sequential):
        for layer in layers:
            yield from _leaves(layer)
    else:
        yield layers


def _mirrored(layer: nn.Module, shape: tuple[int, ...]) -> nn.Module | None:
    """Return the mirror image of a layer that gets maps of a shape, none where it has none."""
    mirror: nn.Module | None = None
    if isinstance(layer, _CONVOLUTIONS):
        mirror = _transposed(layer, shape)
    elif isinstance(layer, PadMaxPool) or (isinstance(layer, _MAX_POOLS) and _is_apart(layer)):
        mirror = CropMaxUnpool()
    elif isinstance(layer, nn.Linear):
        mirror = nn.Linear(layer.out_features, layer.in_features, bias=layer.bias is not None)
    elif isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
        mirror = nn.Unflatten(1, shape)
    elif isinstance(layer, nn.LeakyReLU) and layer.negative_slope:
        mirror = nn.LeakyReLU(1 / layer.negative_slope)
    elif isinstance(layer, (*_MIRRORED_AS_THEY_ARE, *_NORMALISATIONS)):
        mirror = deepcopy(layer)
    return mirror


def _transposed(layer: nn.Conv2d | nn.Conv3d, shape: tuple[int, ...]) -> nn.Module | None:
    """Return the transposed convolution that restores the size, none for padding by values."""
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return None
    made = _shape_after(layer, shape)[1:]
    sweeps = _sweeps(layer, shape[1:])
    # The stubs want tuples whose length they know.
    transposed: Any = nn.ConvTranspose3d if isinstance(layer, nn.Conv3d) else nn.ConvTranspose2d
    mirror: nn.Module = transposed(
        layer.out_channels,
        layer.in_channels,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=tuple(
            size - ((n - 1) * stride - 2 * pad + span)
            for size, n, (span, stride, pad) in zip(shape[1:], made, sweeps, strict=True)
        ),
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=layer.dilation,
    )
    return mirror


def _shape_after(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what a layer that has a mirror image makes of a shape."""
    if isinstance(layer, (*_CONVOLUTIONS, PadMaxPool, *_MAX_POOLS)):
        n_channels = layer.out_channels if isinstance(layer, _CONVOLUTIONS) else shape[0]
        sizes = zip(shape[1:], _sweeps(layer, shape[1:]), strict=True)
        return n_channels, *(
            (size + 2 * pad - span) // stride + 1 for size, (span, stride, pad) in sizes
        )
    if isinstance(layer, nn.Linear):
        return (layer.out_features,)
    return (prod(shape),) if isinstance(layer, nn.Flatten) else shape


def _sweeps(layer: nn.Module, size: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return what a kernel or window spans, its stride and its padding, along each axis."""
    if isinstance(layer, _CONVOLUTIONS):
        reach = zip(layer.kernel_size, layer.dilation, strict=True)
        spans = [wide * (n - 1) + 1 for n, wide in reach]
        padding = [int(pad) for pad in layer.padding]
        return list(zip(spans, layer.stride, padding, strict=True))
    windows = _windows(layer, size)
    return list(zip(windows.edges, windows.edges, windows.padding, strict=True))


def _windows(layer: nn.Module, size: Sequence[int]) -> Windows:
    """Return the windows of a max pooling on maps of a size."""
    if isinstance(layer, _MAX_POOLS):
        return Windows(_each(layer.kernel_size, len(size)), _each(layer.padding, len(size)))
    return pair_windows(size)


def _is_apart(layer: nn.MaxPool2d | nn.MaxPool3d) -> bool:
    """Return whether full windows lie side by side."""
    edges, strides, wide = (
        _each(value, 3) for value in (layer.kernel_size, layer.stride, layer.dilation)
    )
    return edges == strides and set(wide) == {1} and not layer.ceil_mode


def _each(value: int | tuple[int, ...], n_axes: int) -> tuple[int, ...]:
    """Return the value of each axis."""
    return (value,) * n_axes if isinstance(value, int) else tuple(value)


def _activated_last(mirrored: list[nn.Module]) -> list[nn.Module]:
    """Return mirrored layers, each transposed convolution exchanged with the ReLU behind it."""
    exchanged = list(mirrored)
    transposed = [i for i, one in enumerate(mirrored) if isinstance(one, nn.ConvTranspose3d)]
    for start, stop in pairwise([*transposed, len(mirrored)]):
        for i in range(start, stop):
            if isinstance(mirrored[i], nn.ReLU | nn.LeakyReLU):
                exchanged[start], exchanged[i] = mirrored[i], mirrored[start]
                break
    return exchanged


def _fitted(layers: Iterator[nn.Module], *, n_channels: int) -> Iterator[nn.Module]:
    """Yield layers, each normalisation made for as many channels as reach it."""
    for layer in layers:
        if isinstance(layer, _NORMALISATIONS):
            # The stubs of instance normalisation know no momentum of None.
            kind: Any = type(layer)
            yield kind(
                n_channels, eps=layer.eps, momentum=layer.momentum, affine=layer.affine,
                track_running_stats=layer.track_running_stats,
            )  # fmt: skip
            continue
        if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            n_channels = layer.out_channels
        elif isinstance(layer, nn.Linear):
            n_channels = layer.out_features
        elif isinstance(layer, nn.Unflatten):
            n_channels = layer.unflattened_size[0]
        yield layer
