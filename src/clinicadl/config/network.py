"""Which network, with which parameters."""

from __future__ import annotations

from typing import ClassVar, Literal

from clinicadl.config.architecture import CLASSIFIERS, Architecture, dropout
from clinicadl.config.base import from_table

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


NETWORKS: dict[str, type[Architecture]] = {
    "Conv5_FC3": Conv5FC3,
    "Conv4_FC3": Conv4FC3,
    "Stride_Conv5_FC3": StrideConv5FC3,
}
"""Name -> settings; those of release 1.x first."""

TABLE = from_table(NETWORKS, "clinicadl.networks", default="Conv5_FC3", kind=Architecture)
"""The same with those of other packages."""


def architectures() -> dict[str, type[Architecture]]:
    """Return the networks that there are, those of other packages included."""
    rows = TABLE.all_rows()
    return {name: row for name, row in rows.items() if issubclass(row, Architecture)}
