"""Networks of release 0.2, whose names end in ``_0.2``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from clinicadl.config.architecture import CLASSIFIERS, Architecture, dropout, pretrained

_RELEASE_0 = "release 0.2"


class EarlierConv5FC3(Architecture):
    """Conv5_FC3 of release 0.2, for whole images."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv5_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 169, 208, 179)
    reference: ClassVar[str] = _RELEASE_0

    name: Literal["Conv5_FC3_0.2"] = "Conv5_FC3_0.2"
    dropout: float = dropout()


class EarlierConv5FC3MNI(Architecture):
    """Conv5_FC3 of release 0.2, for images of t1-volume."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv5_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 121, 145, 121)
    reference: ClassVar[str] = _RELEASE_0

    name: Literal["Conv5_FC3_mni_0.2"] = "Conv5_FC3_mni_0.2"
    dropout: float = dropout()


class EarlierConv5FC3Down(Architecture):
    """Conv5_FC3 of release 0.2 with smaller linear layers, for images of half the size."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv5_fc3_down"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 85, 104, 90)
    reference: ClassVar[str] = _RELEASE_0

    name: Literal["Conv5_FC3_down_0.2"] = "Conv5_FC3_down_0.2"
    dropout: float = dropout()


class EarlierConv6FC3(Architecture):
    """Six convolutional blocks and three linear layers (1000, 50, classes), of release 0.2."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv6_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 169, 208, 179)
    reference: ClassVar[str] = _RELEASE_0

    name: Literal["Conv6_FC3_0.2"] = "Conv6_FC3_0.2"
    dropout: float = dropout()


class EarlierConv4FC3(Architecture):
    """Conv4_FC3 of release 0.2, of four blocks without padding, for patches and regions."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv4_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 50, 50, 50)
    reference: ClassVar[str] = _RELEASE_0
    smallest: ClassVar[int] = 31

    name: Literal["Conv4_FC3_0.2"] = "Conv4_FC3_0.2"
    dropout: float = dropout()


class EarlierConvNet(Architecture):
    """Five blocks of two convolutions and one linear layer, for slices, of release 0.2."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:conv_net"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2,)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_0
    smallest: ClassVar[int] = 32

    name: Literal["ConvNet_0.2"] = "ConvNet_0.2"
    dropout: float = dropout()


class EarlierResNet18(Architecture):
    """resnet18 of release 0.2; only its last stage and what follows learn from ImageNet weights."""

    builds: ClassVar[str] = "clinicadl.networks.earlier:resnet18"
    starts: ClassVar[str | None] = "clinicadl.networks.pretrained:start_earlier_resnet18"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2,)
    example: ClassVar[tuple[int, ...]] = (3, 224, 224)
    reference: ClassVar[str] = _RELEASE_0
    channels: ClassVar[int | None] = 3

    name: Literal["resnet18_0.2"] = "resnet18_0.2"
    dropout: float = dropout()
    pretrained: Path | None = pretrained()


EARLIER: dict[str, type[Architecture]] = {
    "Conv5_FC3_0.2": EarlierConv5FC3,
    "Conv5_FC3_mni_0.2": EarlierConv5FC3MNI,
    "Conv5_FC3_down_0.2": EarlierConv5FC3Down,
    "Conv6_FC3_0.2": EarlierConv6FC3,
    "Conv4_FC3_0.2": EarlierConv4FC3,
    "ConvNet_0.2": EarlierConvNet,
    "resnet18_0.2": EarlierResNet18,
}
