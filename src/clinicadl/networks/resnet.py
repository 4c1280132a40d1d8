"""Residual networks [1]_: the ResNet-18 of release 1.x on slices, and a family on volumes [2]_.

References
----------
.. [1] He et al., Deep residual learning for image recognition, CVPR 2016,
   doi:10.1109/CVPR.2016.90
.. [2] Hara et al., Can spatiotemporal 3D CNNs retrace the history of 2D CNNs and ImageNet?,
   CVPR 2018, doi:10.1109/CVPR.2018.00685
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from clinicadl.config.modern_networks import Residual3D
from clinicadl.config.network import ResNet18
from clinicadl.networks.cnn import BATCH_NORMS, CONVOLUTIONS, ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.pools import GlobalAverage, MaxPool

STEM = 64
"""Channels in front of the first stage."""
WIDTHS = (64, 128, 256, 512)
"""Channels of the 3 x 3 convolutions of each stage."""
IMAGENET_CLASSES = 1000


class BasicBlock(nn.Module):
    """Two convolutions of kernel 3, and the input added to what they give.

    Parameters
    ----------
    given
        Channels of the input.
    width
        Channels of the output.
    n_axes
        Axes of space, 2 or 3.
    stride
        Of the first convolution, and of the projection of the input.
    """

    expansion = 1
    """Channels of the output, by ``width``."""

    def __init__(self, given: int, width: int, *, n_axes: int, stride: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTIONS[n_axes], BATCH_NORMS[n_axes]
        self.conv1 = convolution(given, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU()
        self.conv2 = convolution(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = _projection(given, width, n_axes=n_axes, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps of the block."""
        kept = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu(self.bn1(self.conv1(maps)))
        summed: Tensor = self.relu(self.bn2(self.conv2(maps)) + kept)
        return summed


class Bottleneck(nn.Module):
    """A convolution of kernel 3 between two of kernel 1, and the input added to what they give.

    Parameters
    ----------
    given
        Channels of the input.
    width
        Channels of the inner convolution; the output has four times as many.
    n_axes
        Axes of space, 2 or 3.
    stride
        Of the inner convolution, and of the projection of the input.
    """

    expansion = 4
    """Channels of the output, by ``width``."""

    def __init__(self, given: int, width: int, *, n_axes: int, stride: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTIONS[n_axes], BATCH_NORMS[n_axes]
        made = width * self.expansion
        self.conv1 = convolution(given, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = convolution(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = convolution(width, made, 1, bias=False)
        self.bn3 = norm(made)
        self.relu = nn.ReLU()
        self.downsample = _projection(given, made, n_axes=n_axes, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps of the block."""
        kept = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu(self.bn1(self.conv1(maps)))
        maps = self.relu(self.bn2(self.conv2(maps)))
        summed: Tensor = self.relu(self.bn3(self.conv3(maps)) + kept)
        return summed


def _projection(given: int, made: int, *, n_axes: int, stride: int) -> nn.Sequential | None:
    """Return what gives the input the shape of the output, where they differ."""
    if given == made and stride == 1:
        return None
    return nn.Sequential(
        CONVOLUTIONS[n_axes](given, made, 1, stride=stride, bias=False), BATCH_NORMS[n_axes](made)
    )


def stem(n_channels: int, *, n_axes: int) -> tuple[nn.Module, ...]:
    """Return the layers in front of the first stage: size n becomes n/4.

    Parameters
    ----------
    n_channels
        Channels of the images.
    n_axes
        Axes of space, 2 or 3.
    """
    return (
        CONVOLUTIONS[n_axes](n_channels, STEM, 7, stride=2, padding=3, bias=False),
        BATCH_NORMS[n_axes](STEM),
        nn.ReLU(),
        MaxPool(3, padding=1),
    )


def stages(
    block: type[BasicBlock | Bottleneck], n_blocks: tuple[int, ...], *, n_axes: int
) -> tuple[nn.Sequential, ...]:
    """Return the four stages; each but the first halves the maps.

    Parameters
    ----------
    block
        Kind of the blocks.
    n_blocks
        Blocks of each stage.
    n_axes
        Axes of space, 2 or 3.
    """
    made, given = [], STEM
    for stage, (width, n) in enumerate(zip(WIDTHS, n_blocks, strict=True)):
        blocks = nn.Sequential()
        for number in range(n):
            stride = 2 if stage and not number else 1
            blocks.append(block(given, width, n_axes=n_axes, stride=stride))
            given = width * block.expansion
        made.append(blocks)
    return tuple(made)


def resnet18(
    settings: ResNet18, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return the ResNet-18 of release 1.x, with random weights.

    Behind its 1000 outputs, which are those of ImageNet, there are dropout and one linear layer.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        3, then the size of the slice along its 2 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input is no slice of three channels.
    """
    check_input(settings, input_shape)
    fc: dict[str, nn.Module] = {
        "0": nn.Flatten(),
        "1": nn.Linear(WIDTHS[-1], IMAGENET_CLASSES),
        "drop_out": nn.Dropout(settings.dropout),
        "fc_out": nn.Linear(IMAGENET_CLASSES, n_outputs),
    }
    return ConvolutionalNetwork(
        nn.Sequential(
            *stem(input_shape[0], n_axes=2),
            *stages(BasicBlock, (2, 2, 2, 2), n_axes=2),
            GlobalAverage(),
        ),
        nn.Sequential(OrderedDict(fc)),
    )


def resnet_3d(
    settings: Residual3D, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return a residual network on volumes, with projections where the shape changes.

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
        The input has not 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    block = Bottleneck if settings.bottleneck else BasicBlock
    return ConvolutionalNetwork(
        nn.Sequential(
            *stem(input_shape[0], n_axes=3),
            *stages(block, settings.n_blocks, n_axes=3),
            GlobalAverage(),
        ),
        nn.Sequential(
            nn.Flatten(),
            nn.Dropout(settings.dropout),
            nn.Linear(WIDTHS[-1] * block.expansion, n_outputs),
        ),
    )
