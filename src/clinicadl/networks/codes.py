"""The code of an autoencoder: what its decoder gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from clinicadl.networks.variational import Variational


class Code:
    """Holds the code of the batch that passed last."""

    def __init__(self) -> None:
        self._last: Tensor | None = None

    def of(self, outputs: Any) -> Tensor:
        """Return the code of the batch whose outputs these are: of a variational network ``mu``."""
        if isinstance(outputs, Variational):
            return outputs.mu
        assert self._last is not None  # noqa: S101  # `has_one` refused all others
        return self._last

    def note(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Take note of what a layer gets: first the maps, whatever else behind them."""
        self._last = inputs[0]


def has_one(network: nn.Module, outputs: Any) -> bool:
    """Return whether a network puts an image through a code, which its outputs or layers show."""
    return isinstance(outputs, Variational) or _entrance(network) is not None


@contextmanager
def watched(networks: Iterable[nn.Module]) -> Iterator[Code]:
    """Give what holds the code of the batch that passed one of some networks last, in the block."""
    code = Code()
    entrances = [_entrance(network) for network in networks]
    hooks = [one.register_forward_pre_hook(code.note) for one in entrances if one is not None]
    try:
        yield code
    finally:
        for hook in hooks:
            hook.remove()


def _entrance(network: nn.Module) -> nn.Module | None:
    """Return the first layer of the decoder; none where there is no decoder."""
    decoder = getattr(network, "decoder", None)
    if not isinstance(decoder, nn.Module):
        return None
    while isinstance(decoder, nn.Sequential) and len(decoder):
        decoder = decoder[0]
    return decoder
