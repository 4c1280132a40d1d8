"""How the weights are learnt."""

from __future__ import annotations

from typing import Literal

from clinicadl.config.base import Section, setting

OptimizerName = Literal[
    "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "SGD"
]


class OptimizationConfig(Section):
    """Optimizer, rate, length."""

    optimizer: OptimizerName = setting("Adam", "Optimizer, other arguments as in PyTorch")
    learning_rate: float = setting(1e-4, "Learning rate", short="lr", gt=0)
    adaptive_learning_rate: bool = setting(
        False, "Divide the rate by 10 after 10 epochs without a better validation loss", short="alr"
    )
    weight_decay: float = setting(1e-4, "Weight decay", short="wd", ge=0)
    epochs: int = setting(20, "Most epochs", ge=1)
    batch_size: int = setting(8, "Samples that pass the network together", ge=1)
    accumulation_steps: int = setting(
        1, "Batches whose mean gradient makes one update", short="asteps", ge=1
    )
    evaluation_steps: int = setting(
        0,
        "Weight updates between evaluations inside an epoch (0: at its end only)",
        short="esteps",
        ge=0,
    )
    patience: int = setting(
        0, "Epochs without a better validation loss after which training stops (0: never)", ge=0
    )
    tolerance: float = setting(
        0.0, "Share by which the validation loss must fall to count as better", ge=0, lt=1
    )
    save_all_models: bool = setting(
        False, "Keep the weights of every epoch", off="save-only-best-model"
    )
