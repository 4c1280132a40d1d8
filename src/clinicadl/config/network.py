"""Which network, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.architecture import CLASSIFIERS, Architecture, dropout, pretrained
from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.base import Section, from_table, setting
from clinicadl.config.earlier_networks import EARLIER
from clinicadl.config.modern_networks import MODERN

_RELEASE_1 = "release 1.6"


class Conv5FC3(Architecture):
    """Five convolutional blocks and three linear layers (1300, 50, classes)."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv5_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_1

    name: Literal["Conv5_FC3"] = "Conv5_FC3"
    dropout: float = dropout()


class Conv4FC3(Architecture):
    """Five convolutional blocks and three small linear layers (50, 40, classes)."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv4_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_1

    name: Literal["Conv4_FC3"] = "Conv4_FC3"
    dropout: float = dropout()


class StrideConv5FC3(Architecture):
    """Conv5_FC3 whose convolutions have stride 2, in place of pooling."""

    builds: ClassVar[str] = "clinicadl.networks.conv:stride_conv5_fc3"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_1

    name: Literal["Stride_Conv5_FC3"] = "Stride_Conv5_FC3"
    dropout: float = dropout()


class ResNet18(Architecture):
    """Residual network of 18 layers on slices, whose first weights may be those of ImageNet."""

    builds: ClassVar[str] = "clinicadl.networks.resnet:resnet18"
    starts: ClassVar[str | None] = "clinicadl.networks.pretrained:start_resnet18"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2,)
    example: ClassVar[tuple[int, ...]] = (3, 128, 128)
    reference: ClassVar[str] = f"{_RELEASE_1}; He et al. 2016, doi:10.1109/CVPR.2016.90"
    channels: ClassVar[int | None] = 3

    name: Literal["resnet18"] = "resnet18"
    dropout: float = dropout()
    pretrained: Path | None = pretrained()


class ResNet3D(Architecture):
    """Five residual blocks and two linear layers (256, classes)."""

    builds: ClassVar[str] = "clinicadl.networks.squeeze:resnet3d"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 169, 208, 179)
    reference: ClassVar[str] = _RELEASE_1
    smallest: ClassVar[int] = 63

    name: Literal["ResNet3D"] = "ResNet3D"
    dropout: float = dropout(0.8)


class SqueezeExcitationCNN(Architecture):
    """ResNet3D whose channels are weighed by squeeze and excitation."""

    builds: ClassVar[str] = "clinicadl.networks.squeeze:squeeze_excitation_cnn"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 169, 208, 179)
    reference: ClassVar[str] = f"{_RELEASE_1}; Hu et al. 2018, doi:10.1109/CVPR.2018.00745"
    smallest: ClassVar[int] = 63

    name: Literal["SqueezeExcitationCNN"] = "SqueezeExcitationCNN"
    dropout: float = dropout(0.5)


class Conv5FC3SSDA(Architecture):
    """Conv5_FC3 with heads for the classes of two domains and for the domain itself."""

    builds: ClassVar[str] = "clinicadl.networks.adaptation:conv5_fc3_ssda"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = f"{_RELEASE_1}; Ganin et al. 2016, arXiv:1505.07818"
    n_domains: ClassVar[int] = 2

    name: Literal["Conv5_FC3_SSDA"] = "Conv5_FC3_SSDA"
    dropout: float = dropout()


class DrawnBlock(Section):
    """Convolutions of a `RandomArchitecture` that together halve the image."""

    in_channels: int | None = setting(None, "Channels that it gets", ge=1)
    out_channels: int = setting(..., "Channels that it gives", ge=1)
    n_conv: int = setting(1, "Convolutions", ge=1)
    d_reduction: Literal["MaxPooling", "stride"] = setting("MaxPooling", "What halves the image")


class RandomArchitecture(Architecture):
    """A network that a random search drew, described block by block."""

    builds: ClassVar[str] = "clinicadl.networks.drawn:random_architecture"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 50, 50, 50)
    reference: ClassVar[str] = _RELEASE_1
    needed: ClassVar[Mapping[str, Any]] = {
        "convolutions_dict": {
            "conv0": {"out_channels": 8, "n_conv": 2},
            "conv1": {"in_channels": 8, "out_channels": 16},
        },
        "n_fcblocks": 2,
    }

    name: Literal["RandomArchitecture"] = "RandomArchitecture"
    convolutions_dict: dict[str, DrawnBlock] = setting(
        ..., "Blocks conv0, conv1, ... of convolutions; in a file only", min_length=1
    )
    n_fcblocks: int = setting(..., "Linear layers", ge=1)
    network_normalization: Literal["BatchNorm", "InstanceNorm", "None"] = setting(
        "BatchNorm", "Normalisation behind each convolution"
    )
    dropout: float = dropout()

    @model_validator(mode="after")
    def _blocks_follow_each_other(self) -> RandomArchitecture:
        expected = self._names()
        if self.convolutions_dict.keys() != set(expected):
            raise ValueError(f"the blocks must be named {', '.join(expected)}")
        blocks = self.blocks()
        for number, (before, block) in enumerate(pairwise(blocks), start=1):
            if block.in_channels not in (None, before.out_channels):
                raise ValueError(
                    f"conv{number} takes {block.in_channels} channels, but conv{number - 1} gives "
                    f"{before.out_channels}"
                )
        return self

    def blocks(self) -> tuple[DrawnBlock, ...]:
        """Return the blocks, conv0 first."""
        return tuple(self.convolutions_dict[name] for name in self._names())

    def _names(self) -> list[str]:
        return [f"conv{number}" for number in range(len(self.convolutions_dict))]


NETWORKS: dict[str, type[Architecture]] = {
    "Conv5_FC3": Conv5FC3,
    "Conv4_FC3": Conv4FC3,
    "Stride_Conv5_FC3": StrideConv5FC3,
    "resnet18": ResNet18,
    "ResNet3D": ResNet3D,
    "SqueezeExcitationCNN": SqueezeExcitationCNN,
    "Conv5_FC3_SSDA": Conv5FC3SSDA,
    "RandomArchitecture": RandomArchitecture,
    **AUTOENCODERS,
    **MODERN,
    **EARLIER,
}
"""Name -> settings; those of release 1.x first."""

TABLE = from_table(NETWORKS, "clinicadl.networks", default="Conv5_FC3", kind=Architecture)
"""The same with those of other packages."""


def architectures() -> dict[str, type[Architecture]]:
    """Return the networks that there are, those of other packages included."""
    rows = TABLE.all_rows()
    return {name: row for name, row in rows.items() if issubclass(row, Architecture)}
