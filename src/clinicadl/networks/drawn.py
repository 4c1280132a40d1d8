"""Networks that are described layer by layer, such as those that a random search draws."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, prod

from torch import nn

from clinicadl.config.network import DrawnBlock, RandomArchitecture
from clinicadl.errors import UsageError
from clinicadl.networks.cnn import BATCH_NORMS, CONVOLUTIONS, ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.layers import PadMaxPool

INSTANCE_NORMS: dict[int, type[nn.InstanceNorm2d | nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d,
}  # fmt: skip


def random_architecture(
    settings: RandomArchitecture, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return the network that ``convolutions_dict`` and ``n_fcblocks`` describe.

    Parameters
    ----------
    settings
        Its description.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes or other channels than the first block wants, or a map is too
        small for instance normalisation.
    """
    check_input(settings, input_shape)
    given, *sizes = input_shape
    blocks = settings.blocks()
    if blocks[0].in_channels not in (None, given):
        raise UsageError(
            "The first block takes another number of channels",
            where="network.convolutions_dict.conv0.in_channels", found=blocks[0].in_channels,
            fix=f"The images have {given}",
        )  # fmt: skip
    if settings.network_normalization == "InstanceNorm":
        _check_instances(blocks, sizes)
    convolutions: dict[str, nn.Module] = {}
    for number, block in enumerate(blocks):
        layers = _block(given, block, settings.network_normalization, n_axes=len(sizes))
        convolutions[f"conv{number}"] = layers
        given = block.out_channels
    n_features = prod((given, *(ceil(size / 2 ** len(blocks)) for size in sizes)))
    return ConvolutionalNetwork(
        nn.Sequential(OrderedDict(convolutions)),
        _linear_layers(
            linear_sizes(n_features, n_outputs, settings.n_fcblocks), dropout=settings.dropout
        ),
    )


def linear_sizes(n_features: int, n_outputs: int, n_layers: int) -> list[int]:
    """Return the number of values in front of and behind each linear layer.

    Each is the one before divided by one ratio, rounded.

    Examples
    --------
    >>> linear_sizes(35_152, 2, 3)
    [35152, 1352, 52, 2]
    """
    ratio = (n_features / n_outputs) ** (1 / n_layers)
    inner = [round(n_features / ratio**number) for number in range(1, n_layers)]
    return [n_features, *inner, n_outputs]


def _block(given: int, block: DrawnBlock, norm: str, *, n_axes: int) -> nn.Sequential:
    """Return convolutions that keep the channels, then one that changes them and the size."""
    is_pooled = block.d_reduction == "MaxPooling"
    layers: list[nn.Module] = []
    for number in range(block.n_conv):
        is_last = number == block.n_conv - 1
        made = block.out_channels if is_last else given
        stride = 2 if is_last and not is_pooled else 1
        layers.append(CONVOLUTIONS[n_axes](given, made, 3, stride=stride, padding=1))
        if norm != "None":
            kinds = BATCH_NORMS if norm == "BatchNorm" else INSTANCE_NORMS
            layers.append(kinds[n_axes](made))
        layers.append(nn.LeakyReLU())
    return nn.Sequential(*layers, *([PadMaxPool()] if is_pooled else []))


def _linear_layers(sizes: Sequence[int], *, dropout: float) -> nn.Sequential:
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten(), "dropout": nn.Dropout(dropout)}
    for number, (given, made) in enumerate(pairwise(sizes)):
        is_last = number == len(sizes) - 2
        activation = [] if is_last else [nn.LeakyReLU()]
        layers[f"FC{number}"] = nn.Sequential(nn.Linear(given, made), *activation)
    return nn.Sequential(OrderedDict(layers))


def _check_instances(blocks: Sequence[DrawnBlock], sizes: Sequence[int]) -> None:
    """Refuse a map of one voxel, which has no variance.

    Raises
    ------
    UsageError
        A map that would be normalized has one voxel.
    """
    for number, block in enumerate(blocks):
        halved = [ceil(size / 2) for size in sizes]
        least = halved if block.d_reduction == "stride" else sizes
        if prod(least) == 1:
            raise UsageError(
                "Instance normalisation needs maps of more than one voxel",
                where=f"network.convolutions_dict.conv{number}",
                fix="Describe fewer blocks, or choose another network_normalization",
            )
        sizes = halved
