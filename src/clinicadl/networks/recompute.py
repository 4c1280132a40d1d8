"""Blocks of a network that are computed again for the backward pass, so that it keeps less."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from torch import nn
from torch.utils.checkpoint import checkpoint

Run = Callable[..., Any]
"""Computes a block."""
Through = Callable[..., Any]
"""Gets a block's run, then its arguments, and returns what the run gives."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a network consists of: those behind its sequences and lists."""
    for child in network.children():
        if isinstance(child, _CONTAINERS):
            yield from blocks(child)
        else:
            yield child


def runs(layers: Iterable[nn.Module]) -> list[list[nn.Module]]:
    """Return layers in their order, cut in front of each that has weights of two axes or more.

    Examples
    --------
    >>> [len(run) for run in runs([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Dropout()])]
    [2, 2]
    """
    cut: list[list[nn.Module]] = []
    for layer in layers:
        if not cut or any(weight.ndim > 1 for weight in layer.parameters()):
            cut.append([])
        cut[-1].append(layer)
    return cut


@contextmanager
def recomputed(network: nn.Module, through: Through | None = None) -> Iterator[None]:
    """Let the blocks of a network keep their inputs alone for the backward pass, inside the block.

    Blocks are its modules that have modules, the runs of layers of its sequences, and what it says
    itself in ``blockwise``: names of methods that compute one. What is drawn in them is drawn
    again, and normalizations do not count twice, so that the gradients are the same bits [1]_.

    Parameters
    ----------
    network
        Computes as ever afterwards.
    through
        Computes a block, in place of that.

    References
    ----------
    .. [1] T. Chen et al., Training deep nets with sublinear memory cost, 2016.
    """
    ways = list(_ways(network))
    for owner, name, run in ways:
        setattr(owner, name, partial(run, through or partial(_again, owner)))
    try:
        yield
    finally:
        for owner, name, _ in ways:
            delattr(owner, name)


def has_blocks(network: nn.Module) -> bool:
    """Return whether a network has blocks that can be computed again."""
    return any(True for _ in _ways(network))


@contextmanager
def uncounted(network: nn.Module) -> Iterator[None]:
    """Let a network compute as ever, but forget what its normalizations count, inside the block."""
    before = [(module, module._buffers) for module in network.modules() if module._buffers]
    for module, buffers in before:
        module._buffers = {
            name: None if buffer is None else buffer.clone() for name, buffer in buffers.items()
        }
    try:
        yield
    finally:
        for module, buffers in before:
            module._buffers = buffers


class _Way(NamedTuple):
    """How a block is computed."""

    owner: nn.Module
    name: str
    """Of its method."""
    run: Callable[..., Any]
    """Gets ``through`` and the arguments of the method."""


def _ways(network: nn.Module) -> Iterator[_Way]:
    """Yield the methods that compute blocks, none of which is part of another."""
    said = getattr(network, "blockwise", ())
    for name in said:
        yield _Way(network, name, partial(_whole, getattr(network, name)))
    if not said:
        yield from _ways_of_sequences(network)
        for block in blocks(network):
            if any(True for _ in block.children()):
                yield _Way(block, "forward", partial(_whole, block.forward))


def _ways_of_sequences(module: nn.Module) -> Iterator[_Way]:
    if isinstance(module, nn.Sequential) and any(len(run) > 1 for run in _of(module)):
        yield _Way(module, "forward", partial(_by_runs, module))
    for child in module.children():
        if isinstance(child, _CONTAINERS):
            yield from _ways_of_sequences(child)


def _of(layers: nn.Sequential) -> list[list[nn.Module]]:
    """Return the runs of single layers; what consists of others is a run of its own."""
    cut: list[list[nn.Module]] = []
    single: list[nn.Module] = []
    for layer in layers:
        if any(True for _ in layer.children()):
            cut += [*runs(single), [layer]]
            single = []
        else:
            single.append(layer)
    return [*cut, *runs(single)]


def _by_runs(layers: nn.Sequential, through: Through, maps: Any) -> Any:
    for run in _of(layers):
        maps = through(partial(_one_by_one, run), maps) if len(run) > 1 else run[0](maps)
    return maps


def _one_by_one(layers: Iterable[nn.Module], maps: Any) -> Any:
    for layer in layers:
        maps = layer(maps)
    return maps


def _whole(run: Run, through: Through, *arguments: Any) -> Any:
    return through(run, *arguments)


def _again(block: nn.Module, run: Run, *arguments: Any) -> Any:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), uncounted(block)

    return checkpoint(run, *arguments, use_reentrant=False, context_fn=contexts)
