"""First weights of a new network, from a file that the user names; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from clinicadl.config.earlier_networks import EarlierResNet18
from clinicadl.config.network import ResNet18
from clinicadl.errors import InvalidDataError, listed
from clinicadl.networks import foreign

_OWN_NAMES = {
    "conv1": "convolutions.0",
    "bn1": "convolutions.1",
    "layer1": "convolutions.4",
    "layer2": "convolutions.5",
    "layer3": "convolutions.6",
    "layer4": "convolutions.7",
    "fc": "fc.1",
}
"""Torchvision's name of a part of ResNet-18 -> ours, which is that of release 1.x."""
_COUNTER = "num_batches_tracked"
"""What the older of torchvision's files lack."""


def start_resnet18(settings: ResNet18, network: nn.Module) -> None:
    """Give a ``resnet18`` the ImageNet weights that its settings name, if they name any.

    Parameters
    ----------
    settings
        Those of the network.
    network
        The network; its last layer, which has no counterpart, stays as it is.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is damaged, or is not torchvision's ResNet-18, name by name and shape by shape.
    """
    if settings.pretrained is not None:
        _copy(settings.pretrained, network, _OWN_NAMES)


def start_earlier_resnet18(settings: EarlierResNet18, network: nn.Module) -> None:
    """Give a ``resnet18_0.2`` the ImageNet weights that its settings name, if they name any.

    Parameters
    ----------
    settings
        Those of the network.
    network
        The network; its last layer, which has no counterpart, stays as it is.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is damaged, or is not torchvision's ResNet-18, name by name and shape by shape.
    """
    if settings.pretrained is not None:
        _copy(settings.pretrained, network, {name: name for name in _OWN_NAMES})


def _copy(path: Path, network: nn.Module, own_names: Mapping[str, str]) -> None:
    """Copy the weights of a file into the parts of a network that it must hold entirely.

    Raises
    ------
    InvalidDataError
        A name is missing or surplus, or a shape is another.
    """
    state = network.state_dict()
    wanted = {
        f"{theirs}{name.removeprefix(ours)}": name
        for theirs, ours in own_names.items()
        for name in state
        if name.startswith(f"{ours}.")
    }
    found = foreign.read(path)
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    surplus = [name for name in found if name not in wanted]
    other = [
        f"{name} {_shape(found[name])} for {_shape(state[wanted[name]])}"
        for name in wanted
        if name in found and found[name].shape != state[wanted[name]].shape
    ]
    for what, names in (("lacks", missing), ("has too", surplus), ("has another shape of", other)):
        if names:
            raise InvalidDataError(
                f"These weights are not torchvision's ResNet-18: the file {what} {listed(names)}",
                where=path, fix="Give the file of resnet18 that torchvision publishes",
            )  # fmt: skip
    for theirs, name in wanted.items():
        if theirs in found:
            state[name].copy_(found[theirs])


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
