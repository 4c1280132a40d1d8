"""Losses: one number a sample."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, shape (n, outputs); targets, shape (n,)) -> losses, shape (n,)."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the log-probability of the true class, of each sample."""
    return F.cross_entropy(outputs, targets, reduction="none")


def multi_margin(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return by how much other classes come within 1 of the true one, mean over the classes."""
    return F.multi_margin_loss(outputs, targets, reduction="none")


CLASSIFICATION: dict[str, Loss] = {
    "CrossEntropyLoss": cross_entropy,
    "MultiMarginLoss": multi_margin,
}
