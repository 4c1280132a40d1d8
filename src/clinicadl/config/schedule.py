"""How the learning rate changes, and which weights are judged: rows of two tables."""

from __future__ import annotations

from typing import ClassVar, Literal

from clinicadl.config.base import Choice, setting


class Constant(Choice):
    """The same rate throughout."""

    builds: ClassVar[str] = "clinicadl.engine.rates:constant"
    name: Literal["constant"] = "constant"


class Step(Choice):
    """Multiplied by a factor every few epochs."""

    builds: ClassVar[str] = "clinicadl.engine.rates:step"
    name: Literal["step"] = "step"
    step_epochs: int = setting(10, "Epochs between two steps of the rate", ge=1)
    step_factor: float = setting(0.1, "What a step multiplies the rate by", gt=0, lt=1)


class Cosine(Choice):
    """Half a cosine from the rate to the lowest one."""

    builds: ClassVar[str] = "clinicadl.engine.rates:cosine"
    name: Literal["cosine"] = "cosine"
    lowest_rate: float = setting(0.0, "Share of the rate that is left at the end", ge=0, lt=1)


class Linear(Choice):
    """A straight line from the rate to the lowest one."""

    builds: ClassVar[str] = "clinicadl.engine.rates:linear"
    name: Literal["linear"] = "linear"
    lowest_rate: float = setting(0.0, "Share of the rate that is left at the end", ge=0, lt=1)


SCHEDULES: dict[str, type[Choice]] = {
    "constant": Constant, "step": Step, "cosine": Cosine, "linear": Linear,
}  # fmt: skip


class Averaging(Choice):
    """One row of the table of averages of weights.

    ``build()`` returns a function of the number of an update, or of an epoch, from 0 on: the share
    by which the average goes towards the weights, or None while there is no average yet.
    """

    every: ClassVar[Literal["never", "update", "epoch"]]
    """When the average takes the weights."""


class NoAveraging(Averaging):
    """The weights themselves."""

    builds: ClassVar[str] = "clinicadl.engine.averages:none"
    every: ClassVar[Literal["never", "update", "epoch"]] = "never"
    name: Literal["none"] = "none"


class Exponential(Averaging):
    """Their exponential moving average over the updates."""

    builds: ClassVar[str] = "clinicadl.engine.averages:exponential"
    every: ClassVar[Literal["never", "update", "epoch"]] = "update"
    name: Literal["ema"] = "ema"
    ema_decay: float = setting(
        0.999, "Share of the average that an update keeps (less in the first updates)", gt=0, lt=1
    )


class Stochastic(Averaging):
    """Their mean over the last epochs (stochastic weight averaging)."""

    builds: ClassVar[str] = "clinicadl.engine.averages:stochastic"
    every: ClassVar[Literal["never", "update", "epoch"]] = "epoch"
    name: Literal["swa"] = "swa"
    swa_epoch: int = setting(10, "Epoch whose weights are the first of the mean", ge=0)


AVERAGES: dict[str, type[Averaging]] = {
    "none": NoAveraging, "ema": Exponential, "swa": Stochastic,
}  # fmt: skip
