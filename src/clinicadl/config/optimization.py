"""How the weights are learnt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.schedule import (
    AVERAGES,
    SCHEDULES,
    Averaging,
    Constant,
    NoAveraging,
    Stochastic,
)

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
    schedule: Annotated[
        Choice, from_table(SCHEDULES, "clinicadl.schedules", default="constant")
    ] = setting(Constant(), "How the rate changes after the warm-up")
    warmup_epochs: int = setting(0, "First epochs, in which the rate grows to its value", ge=0)
    gradient_clipping: float | None = setting(
        None, "Norm that the gradient of all weights together is scaled down to", gt=0
    )
    averaging: Annotated[
        Averaging, from_table(AVERAGES, "clinicadl.averages", default="none", kind=Averaging)
    ] = setting(NoAveraging(), "Average of the weights that is judged in their place")
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

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> OptimizationConfig:
        changes = not isinstance(self.schedule, Constant) or self.warmup_epochs > 0
        if self.adaptive_learning_rate and changes:
            raise ValueError(
                "adaptive_learning_rate and a schedule or warmup_epochs both decide on the rate: "
                "choose one"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        if isinstance(self.averaging, Stochastic) and self.averaging.swa_epoch >= self.epochs:
            raise ValueError("swa_epoch must be less than epochs")
        return self
