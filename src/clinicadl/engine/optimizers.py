"""Optimizers and the one schedule, from their settings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from clinicadl.config.optimization import OptimizationConfig

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "Adadelta": torch.optim.Adadelta,
    "Adagrad": torch.optim.Adagrad,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "Adamax": torch.optim.Adamax,
    "ASGD": torch.optim.ASGD,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": torch.optim.RMSprop,
    "SGD": torch.optim.SGD,
}


def optimizer(settings: OptimizationConfig, network: nn.Module) -> Optimizer:
    """Return the optimizer of the weights that learn; all else is as PyTorch has it."""
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    build = OPTIMIZERS[settings.optimizer]
    return build(learning, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def n_kept(settings: OptimizationConfig) -> int:
    """Return the numbers that the optimizer keeps of each weight: seen after a step of two."""
    network = nn.Linear(2, 1, bias=False)
    weight, of = network.weight, optimizer(settings, network)
    weight.grad = torch.ones_like(weight)
    of.step()
    kept = [value for one in of.state.values() for value in one.values()]
    return sum(isinstance(value, torch.Tensor) and value.shape == weight.shape for value in kept)


def scheduler(settings: OptimizationConfig, of: Optimizer) -> ReduceLROnPlateau | None:
    """Return the schedule that divides the rate by 10 on a plateau of 10 epochs, if asked for."""
    if not settings.adaptive_learning_rate:
        return None
    return ReduceLROnPlateau(of, mode="min", factor=0.1, patience=10)
