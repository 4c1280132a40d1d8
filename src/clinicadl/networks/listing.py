"""What there is to choose from: the networks, their inputs, parameters and layers."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from clinicadl.config.architecture import Architecture
from clinicadl.config.network import architectures
from clinicadl.errors import UsageError
from clinicadl.networks.fits import check_input

N_OUTPUTS = 2
"""Outputs of the networks that are listed: those of a classification of two classes."""
_PUBLISHED_FORM = re.compile(r"([1-9]\d*)@([1-9]\d*)x([1-9]\d*)(?:x([1-9]\d*))?")


class Model(NamedTuple):
    """A network and what it takes."""

    name: str
    tasks: tuple[str, ...]
    dimension: str
    """``2D``, ``3D``, or both."""
    takes: str
    """What its input must be."""
    input_shape: tuple[int, ...]
    """Channels, then the size along each axis of space, at which its parameters are counted."""
    n_parameters: int | None
    """With two outputs; none where it cannot take the input."""
    reference: str


class Layer(NamedTuple):
    """One layer of a network."""

    name: str
    """As in the names of its weights."""
    kind: str
    """Its type and settings."""
    output: tuple[int, ...]
    """Shape of what it gives for one image."""
    n_parameters: int


def list_models(input_shape: tuple[int, ...] | None = None) -> list[Model]:
    """Return the networks that there are, in the order of the table.

    Nothing is computed and no memory is taken: they are built on torch's meta device.

    Parameters
    ----------
    input_shape
        Channels, then the size along each axis of space; by default the example of each network.
    """
    listed = []
    for row in architectures().values():
        settings = example_settings(row)
        shape = settings.example if input_shape is None else input_shape
        try:
            n_parameters = _n_parameters(settings, shape)
        except UsageError:
            n_parameters = None
        listed.append(_model(settings, shape, n_parameters))
    return listed


def example_settings(row: type[Architecture]) -> Architecture:
    """Return the defaults of a network, with an example of what has none."""
    return row(**row.needed)


def describe(settings: Architecture, input_shape: tuple[int, ...] | None = None) -> Model:
    """Return what one network is and takes.

    Parameters
    ----------
    settings
        Those of the network.
    input_shape
        Channels, then the size along each axis of space; by default its example.

    Raises
    ------
    UsageError
        It cannot take such images.
    """
    shape = settings.example if input_shape is None else input_shape
    return _model(settings, shape, _n_parameters(settings, shape))


def layers(
    settings: Architecture,
    input_shape: tuple[int, ...] | None = None,
    *,
    n_outputs: int = N_OUTPUTS,
) -> list[Layer]:
    """Return the layers of a network, in the order of their names, with what each gives.

    Parameters
    ----------
    settings
        Those of the network.
    input_shape
        Channels, then the size along each axis of space; by default its example.
    n_outputs
        Classes, or numbers.

    Raises
    ------
    UsageError
        It cannot take such images.
    """
    shape = settings.example if input_shape is None else input_shape
    network = _build(settings, shape, n_outputs).eval()
    listed = {
        name: module
        for name, module in network.named_modules()
        if not any(module.children()) or list(module.parameters(recurse=False))
    }
    outputs: dict[nn.Module, Any] = {}
    for module in listed.values():
        module.register_forward_hook(lambda of, _, output: outputs.__setitem__(of, output))
    with torch.device("meta"), torch.inference_mode():
        network(torch.empty(1, *shape))
    return [
        Layer(
            name or type(network).__name__,
            # What has layers of its own would print them all.
            type(module).__name__ if any(module.children()) else str(module),
            _shape(outputs.get(module)),
            sum(weight.numel() for weight in module.parameters(recurse=False)),
        )
        for name, module in listed.items()
    ]


def parse_input_size(text: str) -> tuple[int, ...]:
    """Return the input shape that ``C@HxW`` or ``C@DxHxW`` stands for.

    Raises
    ------
    UsageError
        The text is of neither form.

    Examples
    --------
    >>> parse_input_size("1@169x208x179")
    (1, 169, 208, 179)
    """
    found = _PUBLISHED_FORM.fullmatch(text)
    if found is None:
        raise UsageError(
            "The size of the input cannot be read", where="--input_size", found=text,
            fix="Write C@HxW or C@DxHxW: channels, then the size along each axis",
        )  # fmt: skip
    return tuple(int(number) for number in found.groups() if number is not None)


def shown_input_size(input_shape: tuple[int, ...]) -> str:
    """Return an input shape as `parse_input_size` reads it."""
    n_channels, *sizes = input_shape
    return f"{n_channels}@{'x'.join(map(str, sizes))}"


def _build(
    settings: Architecture, input_shape: tuple[int, ...], n_outputs: int = N_OUTPUTS
) -> nn.Module:
    check_input(settings, input_shape)
    with torch.device("meta"):
        network: nn.Module = settings.build(input_shape, n_outputs)
    return network


def _n_parameters(settings: Architecture, input_shape: tuple[int, ...]) -> int:
    return sum(weight.numel() for weight in _build(settings, input_shape).parameters())


def _model(settings: Architecture, input_shape: tuple[int, ...], n_parameters: int | None) -> Model:
    channels = "any channels" if settings.channels is None else f"{settings.channels} channels"
    size = "any size" if settings.smallest == 1 else f"sizes of at least {settings.smallest}"
    if settings.multiple_of > 1:
        size = f"sizes that are multiples of {settings.multiple_of}"
    return Model(
        name=settings.name,
        tasks=settings.tasks,
        dimension=" or ".join(f"{n}D" for n in settings.axes),
        takes=f"{channels}, {size}",
        input_shape=input_shape,
        n_parameters=n_parameters,
        reference=settings.reference,
    )


def _shape(output: object) -> tuple[int, ...]:
    first = output if isinstance(output, Tensor) or output is None else next(iter(output))  # type: ignore[call-overload]
    return tuple(first.shape[1:]) if isinstance(first, Tensor) else ()
