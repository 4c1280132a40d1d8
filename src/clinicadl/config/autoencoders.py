"""Networks that give their input back, with the parameters of each."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from clinicadl.config.architecture import Architecture
from clinicadl.config.base import setting

_RECONSTRUCTION = ("reconstruction",)
_RELEASE_1 = "release 1.6"


def _latent_space_size() -> Any:
    return setting(128, "Numbers of the code of an image", ge=1)


def _feature_size() -> Any:
    return setting(
        1024, "Outputs of the linear layer between maps and code; 0: no such layer", ge=0
    )


class AEConv5FC3(Architecture):
    """The convolutions of Conv5_FC3 and their mirror image."""

    builds: ClassVar[str] = "clinicadl.networks.autoencoder:autoencoder"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_1
    of: ClassVar[str] = "Conv5_FC3"

    name: Literal["AE_Conv5_FC3"] = "AE_Conv5_FC3"


class AEConv4FC3(Architecture):
    """The convolutions of Conv4_FC3, which are those of Conv5_FC3, and their mirror image."""

    builds: ClassVar[str] = "clinicadl.networks.autoencoder:autoencoder"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = _RELEASE_1
    of: ClassVar[str] = "Conv4_FC3"

    name: Literal["AE_Conv4_FC3"] = "AE_Conv4_FC3"


class MirroredNetwork(Architecture):
    """The convolutions of any network that has a mirror image, and that image."""

    builds: ClassVar[str] = "clinicadl.networks.autoencoder:autoencoder"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = "release 0.2"

    name: Literal["Autoencoder"] = "Autoencoder"
    of: str = setting(
        "Conv5_FC3", "Network whose convolutions an autoencoder mirrors", flag="autoencoder_of"
    )


class CAEHalf(Architecture):
    """Three strided convolutions, a linear code, and as many transposed convolutions."""

    builds: ClassVar[str] = "clinicadl.networks.vae:cae_half"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 80, 96, 80)
    reference: ClassVar[str] = f"{_RELEASE_1}, where it could not be built"

    name: Literal["CAE_half"] = "CAE_half"
    latent_space_size: int = _latent_space_size()


class Vanilla3DDenseVAE(Architecture):
    """Strided convolutions to a normal code, and transposed convolutions back."""

    builds: ClassVar[str] = "clinicadl.networks.vae:dense_vae"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 80, 96, 80)
    reference: ClassVar[str] = f"{_RELEASE_1}; Kingma and Welling 2014, arXiv:1312.6114"
    smallest: ClassVar[int] = 16

    name: Literal["Vanilla3DdenseVAE"] = "Vanilla3DdenseVAE"
    latent_space_size: int = _latent_space_size()
    feature_size: int = _feature_size()
    n_conv: int = setting(4, "Strided convolutions, each of which halves every axis", ge=1)
    io_layer_channels: int = setting(
        8, "Channels of the first convolution; each further one doubles them", ge=1
    )


class VanillaDenseVAE(Architecture):
    """Vanilla3DdenseVAE of four wide convolutions, on slices."""

    builds: ClassVar[str] = "clinicadl.networks.vae:dense_vae"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (2,)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = (
        f"{_RELEASE_1}, where it could not be built; Kingma and Welling 2014, arXiv:1312.6114"
    )
    smallest: ClassVar[int] = 16
    n_conv: ClassVar[int] = 4
    io_layer_channels: ClassVar[int] = 32

    name: Literal["VanillaDenseVAE"] = "VanillaDenseVAE"
    latent_space_size: int = _latent_space_size()
    feature_size: int = _feature_size()


class CVAE3DHalf(Architecture):
    """Variational autoencoder of three convolutions with batch normalisation."""

    builds: ClassVar[str] = "clinicadl.networks.vae:cvae_3d_half"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 80, 96, 80)
    reference: ClassVar[str] = _RELEASE_1

    name: Literal["CVAE_3D_half"] = "CVAE_3D_half"
    latent_space_size: int = _latent_space_size()


class CVAE3DFinalConv(Architecture):
    """CVAE_3D_half with instance normalisation and a last convolution that smooths."""

    builds: ClassVar[str] = "clinicadl.networks.vae:cvae_3d_final_conv"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 80, 96, 80)
    reference: ClassVar[str] = _RELEASE_1

    name: Literal["CVAE_3D_final_conv"] = "CVAE_3D_final_conv"
    latent_space_size: int = _latent_space_size()


class CVAE3D(Architecture):
    """CVAE_3D_half with ReLU throughout, for whole images: 867 million parameters there."""

    builds: ClassVar[str] = "clinicadl.networks.vae:cvae_3d"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 169, 208, 179)
    reference: ClassVar[str] = _RELEASE_1
    kl_weight: ClassVar[float] = 5.0

    name: Literal["CVAE_3D"] = "CVAE_3D"
    latent_space_size: int = _latent_space_size()


class GeneratorUNet(Architecture):
    """U-Net of five levels with an output between -1 and 1."""

    builds: ClassVar[str] = "clinicadl.networks.unet:generator_unet"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 64, 64, 64)
    reference: ClassVar[str] = f"{_RELEASE_1}; Isola et al. 2017, arXiv:1611.07004"
    smallest: ClassVar[int] = 32
    multiple_of: ClassVar[int] = 32

    name: Literal["GeneratorUNet"] = "GeneratorUNet"


class UNet(Architecture):
    """U-Net of residual blocks, for images of any size."""

    builds: ClassVar[str] = "clinicadl.networks.unet:unet"
    tasks: ClassVar[tuple[str, ...]] = _RECONSTRUCTION
    axes: ClassVar[tuple[int, ...]] = (2, 3)
    example: ClassVar[tuple[int, ...]] = (1, 128, 128)
    reference: ClassVar[str] = (
        "Çiçek et al. 2016, arXiv:1606.06650; Isensee et al. 2024, arXiv:2404.09556"
    )

    name: Literal["UNet"] = "UNet"
    unet_channels: int = setting(
        8, "Channels of the first level; each further one doubles them", ge=4, multiple_of=4
    )
    unet_levels: int = setting(4, "Sizes at which the image is looked at", ge=2, le=7)


AUTOENCODERS: dict[str, type[Architecture]] = {
    "AE_Conv5_FC3": AEConv5FC3,
    "AE_Conv4_FC3": AEConv4FC3,
    "Autoencoder": MirroredNetwork,
    "CAE_half": CAEHalf,
    "Vanilla3DdenseVAE": Vanilla3DDenseVAE,
    "VanillaDenseVAE": VanillaDenseVAE,
    "CVAE_3D_half": CVAE3DHalf,
    "CVAE_3D_final_conv": CVAE3DFinalConv,
    "CVAE_3D": CVAE3D,
    "GeneratorUNet": GeneratorUNet,
    "UNet": UNet,
}
