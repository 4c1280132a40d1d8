"""Which weights of one network become the first weights of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clinicadl.errors import UsageError, listed

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""
Layers = Literal["all", "features", "all-but-last"]

FEATURES = ("convolutions.", "encoder.", "features.")
"""What the names of the layers that see the image begin with: of a CNN, of an autoencoder, and of a
CNN of release 0.2. Behind it they are the same."""


@dataclass(frozen=True)
class Match:
    """What is copied, and what is not."""

    source_of: Mapping[str, str]
    """Tensor of the target -> tensor of the source."""
    kept: tuple[str, ...]
    """Tensors of the target that keep their own first values."""
    unused: tuple[str, ...]
    """Tensors of the source that go nowhere."""


def match(source: Shapes, target: Shapes, layers: Layers) -> Match:
    """Return which tensors are copied from one network to another.

    Networks of one kind give all their weights, and their names and shapes must be the same. An
    autoencoder gives a CNN its encoder, and a CNN gives an autoencoder its convolutions.

    Parameters
    ----------
    source, target
        The tensors of both networks, in the order of their layers.
    layers
        Of two networks of one kind: ``all``; or the ``features`` alone, the layers that see the
        image, where the others do not fit; or ``all-but-last`` linear layer, for another number of
        outputs.

    Raises
    ------
    UsageError
        The networks do not fit; the first difference is named.
    """
    ours, theirs = _prefix(target), _prefix(source)
    if layers == "features" or ours != theirs:
        if not ours or not theirs:
            raise UsageError(
                "These networks share no layers that see the image",
                found=f"{_kind(source)} there, {_kind(target)} here",
                fix="Take the weights of an identical network",
            )
        wanted = {
            name: theirs + name.removeprefix(ours) for name in target if name.startswith(ours)
        }
        extra = [
            name
            for name in source
            if name.startswith(theirs) and ours + name.removeprefix(theirs) not in target
        ]
    else:
        head = _last_layer(target) if layers == "all-but-last" else ""
        wanted = {name: name for name in target if not head or not name.startswith(head)}
        extra = [name for name in source if name not in target]
    _refuse_differences(wanted, extra, source, target)
    used = set(wanted.values())
    return Match(
        wanted,
        tuple(name for name in target if name not in wanted),
        tuple(name for name in source if name not in used),
    )


def _refuse_differences(
    wanted: Mapping[str, str], extra: list[str], source: Shapes, target: Shapes
) -> None:
    other = [
        f"{theirs} {source.get(theirs, 'absent')}, here {ours} {target[ours]}"
        for ours, theirs in wanted.items()
        if source.get(theirs) != target[ours]
    ]
    if other or extra:
        raise UsageError(
            "The source's weights do not fit this network",
            found=listed([*other, *(f"{name}, which is not here" for name in extra)]),
            fix="Number of classes, shape of images and network must be the same; or take a part"
            " by --transfer_layers features, or all-but-last",
        )  # fmt: skip


def _prefix(tensors: Shapes) -> str:
    return next((one for one in FEATURES if any(name.startswith(one) for name in tensors)), "")


def _kind(tensors: Shapes) -> str:
    prefix = _prefix(tensors)
    return f"layers {prefix}*" if prefix else f"layers {next(iter(tensors), 'none')}, ..."


def _last_layer(tensors: Shapes) -> str:
    """Return what the names of the last layer begin with."""
    return [*tensors][-1].rpartition(".")[0] + "."


def layers_of(network: nn.Module) -> list[nn.Module]:
    """Return the layers that have weights of their own, in the order of their definition."""
    return [
        layer for layer in network.modules() if any(True for _ in layer.parameters(recurse=False))
    ]


def freeze(network: nn.Module, n_unfrozen: int) -> None:
    """Keep all weights but those of the last layers as they are.

    Parameters
    ----------
    network
        Changed in place.
    n_unfrozen
        Layers with weights that learn, counted from the last; 0: all learn.

    Raises
    ------
    UsageError
        The network has fewer layers.
    """
    if n_unfrozen == 0:
        return
    layers = layers_of(network)
    if n_unfrozen > len(layers):
        raise UsageError(
            "The network has fewer layers than should learn", where="--nb_unfrozen_layer",
            found=f"{n_unfrozen} of {len(layers)}", fix="Give a smaller number, or 0 for all",
        )  # fmt: skip
    for layer in layers[:-n_unfrozen]:
        for weight in layer.parameters(recurse=False):
            weight.requires_grad_(False)


def train_mode(network: nn.Module) -> None:
    """Put a network into training mode, but for what is frozen: its statistics stay as they are."""
    network.train()
    for layer in network.modules():
        if (
            isinstance(layer, _BatchNorm)
            and not any(weight.requires_grad for weight in layer.parameters(recurse=False))
            and layer.affine
        ):
            layer.eval()
