"""Networks that were published since release 1.x, for the few hundred images of most studies."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.architecture import CLASSIFIERS, Architecture, dropout
from clinicadl.config.base import setting


class Residual3D(Architecture):
    """A residual network on volumes, whose weights do not depend on the size of the image."""

    builds: ClassVar[str] = "clinicadl.networks.resnet:resnet_3d"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 96, 96, 96)
    reference: ClassVar[str] = "Hara et al. 2018, doi:10.1109/CVPR.2018.00685"
    n_blocks: ClassVar[tuple[int, ...]]
    """Blocks of each of the four stages."""
    bottleneck: ClassVar[bool] = False
    """Whether a block narrows the maps before its convolution of kernel 3."""

    dropout: float = dropout()


class ResNet10In3D(Residual3D):
    """Residual network of 10 layers on volumes."""

    n_blocks: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)

    name: Literal["ResNet10_3D"] = "ResNet10_3D"


class ResNet18In3D(Residual3D):
    """Residual network of 18 layers on volumes."""

    n_blocks: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)

    name: Literal["ResNet18_3D"] = "ResNet18_3D"


class ResNet34In3D(Residual3D):
    """Residual network of 34 layers on volumes."""

    n_blocks: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)

    name: Literal["ResNet34_3D"] = "ResNet34_3D"


class ResNet50In3D(Residual3D):
    """Residual network of 50 layers on volumes, in blocks that narrow and widen again."""

    n_blocks: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    bottleneck: ClassVar[bool] = True

    name: Literal["ResNet50_3D"] = "ResNet50_3D"


class DenseNet121In3D(Architecture):
    """Densely connected network of 121 layers on volumes: each layer sees all before it."""

    builds: ClassVar[str] = "clinicadl.networks.densenet:densenet121_3d"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 96, 96, 96)
    reference: ClassVar[str] = "Huang et al. 2017, doi:10.1109/CVPR.2017.243"
    smallest: ClassVar[int] = 29

    name: Literal["DenseNet121_3D"] = "DenseNet121_3D"
    dropout: float = dropout()


class FullyConvolutional(Architecture):
    """Simple fully convolutional network, of six narrow blocks and a global average."""

    builds: ClassVar[str] = "clinicadl.networks.sfcn:sfcn"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 160, 192, 160)
    reference: ClassVar[str] = "Peng et al. 2021, doi:10.1016/j.media.2020.101871"
    smallest: ClassVar[int] = 32

    name: Literal["SFCN"] = "SFCN"
    dropout: float = dropout(0.5)


class VisionTransformer(Architecture):
    """Transformer on cubes (or squares of a slice), in the size known as ViT-Tiny."""

    builds: ClassVar[str] = "clinicadl.networks.vit:vit"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFIERS
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 96, 96, 96)
    reference: ClassVar[str] = "Dosovitskiy et al. 2021, arXiv:2010.11929"

    name: Literal["ViT"] = "ViT"
    token_size: int = setting(16, "Edge of the cube that becomes one token", unit="voxels", ge=1)
    embedding_size: int = setting(192, "Numbers that describe a token", ge=1)
    n_layers: int = setting(12, "Layers of attention", ge=1)
    n_heads: int = setting(3, "Heads of each layer of attention", ge=1)
    dropout: float = dropout()

    @model_validator(mode="after")
    def _heads_share_the_numbers(self) -> VisionTransformer:
        if self.embedding_size % self.n_heads:
            raise ValueError("embedding_size must be a multiple of n_heads")
        return self


MODERN: dict[str, type[Architecture]] = {
    "ResNet10_3D": ResNet10In3D,
    "ResNet18_3D": ResNet18In3D,
    "ResNet34_3D": ResNet34In3D,
    "ResNet50_3D": ResNet50In3D,
    "DenseNet121_3D": DenseNet121In3D,
    "SFCN": FullyConvolutional,
    "ViT": VisionTransformer,
}
