"""Networks of release 0.2: their layers and weights are named ``features`` and ``classifier``."""

from __future__ import annotations

from math import ceil, prod

from torch import Tensor, nn

from clinicadl.config.earlier_networks import (
    EarlierConv4FC3,
    EarlierConv5FC3,
    EarlierConv5FC3Down,
    EarlierConv5FC3MNI,
    EarlierConv6FC3,
    EarlierConvNet,
    EarlierResNet18,
)
from clinicadl.networks.conv import CHANNELS, linear_layers, n_features, pooled_blocks
from clinicadl.networks.fits import check_input
from clinicadl.networks.layers import PadMaxPool
from clinicadl.networks.pools import GlobalAverage, MaxPool
from clinicadl.networks.resnet import IMAGENET_CLASSES, WIDTHS, BasicBlock, stages, stem

UNPADDED = (15, 25, 50, 50)
"""Channels of the blocks of Conv4_FC3."""
DOUBLED = (8, 16, 32, 64, 64)
"""Channels of the blocks of ConvNet."""


class EarlierNetwork(nn.Module):
    """Convolutions, then layers that see the whole map, under the names of release 0.2.

    Parameters
    ----------
    features
        From images to maps.
    classifier
        From maps to outputs.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (samples, n_outputs).

        Parameters
        ----------
        images
            Shape (samples, channels, x, y) or (samples, channels, x, y, z).
        """
        outputs: Tensor = self.classifier(self.features(images))
        return outputs


class PartlyFrozenResNet(nn.Module):
    """The ResNet-18 of release 0.2, with torchvision's names and two layers behind it.

    Parameters
    ----------
    n_outputs
        Outputs of the last layer.
    dropout
        Share of the 1000 outputs dropped before the last layer, in training.
    is_frozen
        Whether what lies before the last stage keeps its weights and batch statistics.
    """

    def __init__(self, n_outputs: int, *, dropout: float, is_frozen: bool) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = stem(3, n_axes=2)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(
            BasicBlock, (2, 2, 2, 2), n_axes=2
        )
        self.avgpool = GlobalAverage()
        self.fc = nn.Linear(WIDTHS[-1], IMAGENET_CLASSES)
        self.drop_out = nn.Dropout(dropout)
        self.fc_out = nn.Linear(IMAGENET_CLASSES, n_outputs)
        self.is_frozen = is_frozen
        if is_frozen:
            for layers in self._early():
                layers.requires_grad_(False)

    def train(self, mode: bool = True) -> PartlyFrozenResNet:
        """Enter the training mode, or leave it; frozen layers stay as in evaluation."""
        super().train(mode)
        if self.is_frozen:
            for layers in self._early():
                layers.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (samples, n_outputs).

        Parameters
        ----------
        images
            Shape (samples, 3, x, y).
        """
        maps = images
        for layers in (*self._early(), self.layer4, self.avgpool):
            maps = layers(maps)
        outputs: Tensor = self.fc_out(self.drop_out(self.fc(maps.flatten(1))))
        return outputs

    def _early(self) -> tuple[nn.Module, ...]:
        stages = (self.layer1, self.layer2, self.layer3)
        return (self.conv1, self.bn1, self.relu, self.maxpool, *stages)


def conv5_fc3(
    settings: EarlierConv5FC3 | EarlierConv5FC3MNI, input_shape: tuple[int, ...], n_outputs: int
) -> EarlierNetwork:
    """Return a Conv5_FC3_0.2, or a Conv5_FC3_mni_0.2: they differ in the size of their images.

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
    return _pooled(input_shape, n_outputs, hidden=(1300, 50), dropout=settings.dropout)


def conv5_fc3_down(
    settings: EarlierConv5FC3Down, input_shape: tuple[int, ...], n_outputs: int
) -> EarlierNetwork:
    """Return a Conv5_FC3_down_0.2, for images of which every other voxel was kept.

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
    return _pooled(input_shape, n_outputs, hidden=(350, 25), dropout=settings.dropout)


def conv6_fc3(
    settings: EarlierConv6FC3, input_shape: tuple[int, ...], n_outputs: int
) -> EarlierNetwork:
    """Return a Conv6_FC3_0.2: Conv5_FC3 with a sixth block.

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
    return _pooled(
        input_shape, n_outputs, (*CHANNELS, 256), hidden=(1000, 50), dropout=settings.dropout
    )


def _pooled(
    input_shape: tuple[int, ...],
    n_outputs: int,
    channels: tuple[int, ...] = CHANNELS,
    *,
    hidden: tuple[int, int],
    dropout: float,
) -> EarlierNetwork:
    n_channels, *sizes = input_shape
    return EarlierNetwork(
        pooled_blocks(n_channels, len(sizes), channels),
        linear_layers(n_features(sizes, channels), hidden, n_outputs, dropout=dropout),
    )


def conv4_fc3(
    settings: EarlierConv4FC3, input_shape: tuple[int, ...], n_outputs: int
) -> EarlierNetwork:
    """Return a Conv4_FC3_0.2: four blocks whose convolutions do not pad, two dropouts.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the patch along its 3 axes; 1 x 50 x 50 x 50 in release 0.2.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 3 axes, or is too small.
    """
    check_input(settings, input_shape)
    n_channels, *sizes = input_shape
    layers: list[nn.Module] = []
    for given, made in zip((n_channels, *UNPADDED), UNPADDED, strict=False):
        layers += [nn.Conv3d(given, made, 3), nn.BatchNorm3d(made), nn.ReLU(), PadMaxPool()]
        sizes = [ceil((size - 2) / 2) for size in sizes]
    return EarlierNetwork(
        nn.Sequential(*layers),
        nn.Sequential(
            nn.Flatten(),
            nn.Dropout(settings.dropout),
            nn.Linear(UNPADDED[-1] * prod(sizes), 50),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(50, 40),
            nn.ReLU(),
            nn.Linear(40, n_outputs),
        ),
    )


def conv_net(
    settings: EarlierConvNet, input_shape: tuple[int, ...], n_outputs: int
) -> EarlierNetwork:
    """Return a ConvNet_0.2: five blocks of two convolutions, one linear layer.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the slice along its 2 axes; 1 x 128 x 128 in release 0.2.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 axes, or is too small.
    """
    check_input(settings, input_shape)
    n_channels, *sizes = input_shape
    layers: list[nn.Module] = []
    for given, made in zip((n_channels, *DOUBLED), DOUBLED, strict=False):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.Conv2d(made, made, 3, padding=1)]
        layers += [nn.BatchNorm2d(made), nn.LeakyReLU(), MaxPool(2)]
    left = prod(size // 2 ** len(DOUBLED) for size in sizes)
    return EarlierNetwork(
        nn.Sequential(*layers),
        nn.Sequential(
            nn.Flatten(), nn.Dropout(settings.dropout), nn.Linear(DOUBLED[-1] * left, n_outputs)
        ),
    )


def resnet18(
    settings: EarlierResNet18, input_shape: tuple[int, ...], n_outputs: int
) -> PartlyFrozenResNet:
    """Return a resnet18_0.2, with random weights.

    Its layers before the last stage are frozen where the settings name ImageNet weights: random
    ones that never learn would be of no use.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        3, then the size of the slice along its 2 axes; 3 x 224 x 224 in release 0.2.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input is no slice of three channels.
    """
    check_input(settings, input_shape)
    return PartlyFrozenResNet(
        n_outputs, dropout=settings.dropout, is_frozen=settings.pretrained is not None
    )
