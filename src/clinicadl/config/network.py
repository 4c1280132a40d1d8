"""Which network, with which parameters."""

from __future__ import annotations

from typing import ClassVar, Literal

from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.base import Choice, setting


class Conv5FC3(Choice):
    """Five convolutional blocks and three linear layers (1300, 50, classes)."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv5_fc3"

    name: Literal["Conv5_FC3"] = "Conv5_FC3"
    dropout: float = setting(0.0, "Share of features dropped before the linear layers", ge=0, lt=1)


class Conv4FC3(Choice):
    """Five convolutional blocks and three small linear layers (50, 40, classes)."""

    builds: ClassVar[str] = "clinicadl.networks.conv:conv4_fc3"

    name: Literal["Conv4_FC3"] = "Conv4_FC3"
    dropout: float = setting(0.0, "Share of features dropped before the linear layers", ge=0, lt=1)


NETWORKS: dict[str, type[Choice]] = {
    "Conv5_FC3": Conv5FC3,
    "Conv4_FC3": Conv4FC3,
    **AUTOENCODERS,
}
