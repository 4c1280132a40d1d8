"""What is learnt."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator

from clinicadl.config.base import Choice, setting
from clinicadl.config.names import nearest

SELECTABLE: dict[str, tuple[str, ...]] = {
    "classification": (
        "loss", "BA", "accuracy", "F1_score", "sensitivity", "specificity", "PPV", "NPV", "MCC",
        "MK", "LR_plus", "LR_minus",
    ),
    "regression": ("loss", "R2_score", "MAE", "RMSE", "MSE"),
    "reconstruction": ("loss", "MAE", "RMSE", "PSNR", "SSIM", "MSE"),
}  # fmt: skip
"""What can choose the best model of each task."""

Distance = Literal[
    "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "KLDivLoss", "BCEWithLogitsLoss"
]
"""Losses that compare numbers with numbers."""
Evidence = Literal["VAEGaussianLoss", "VAEBernoulliLoss", "VAEContinuousBernoulliLoss"]
"""Losses of variational networks."""

Vote = Literal["balanced-accuracy", "accuracy", "mean", "hard"]


class TaskSettings(Protocol):
    """What the settings of every task say."""

    @property
    def name(self) -> str:
        """Name of the task."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of the table that are learnt."""
        ...

    @property
    def selection_metrics(self) -> tuple[str, ...]:
        """Validation metrics that each choose a best model."""
        ...

    def build(self, *inputs: Any) -> Any:
        """Return the task."""
        ...


def _known(names: tuple[str, ...], *, task: str) -> tuple[str, ...]:
    for name in names:
        if name not in SELECTABLE[task]:
            close = ", ".join(nearest(name, SELECTABLE[task]))
            raise ValueError(f"'{name}' is not a metric of this task; the nearest are {close}")
    return _once(names)


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


def _selection() -> Any:
    return setting(
        ("loss",), "Validation metrics that each choose a best model", short="sm", min_length=1
    )


class Classification(Choice):
    """Which of several classes an image belongs to."""

    builds: ClassVar[str] = "clinicadl.tasks.classification:classification"

    name: Literal["classification"] = "classification"
    label: str = setting("diagnosis", "Column of the table that holds the class")
    label_code: dict[str, int] | None = setting(
        None, "Node of each class (default: sorted classes are 0, 1, ...); in a file only"
    )
    loss: Literal["CrossEntropyLoss", "MultiMarginLoss"] = setting(
        "CrossEntropyLoss", "Loss, mean over the samples", short="l"
    )
    selection_metrics: Annotated[
        tuple[str, ...], AfterValidator(partial(_known, task="classification"))
    ] = _selection()
    selection_threshold: float = setting(
        0.0,
        "Least (balanced) accuracy, on validation, of a part that has a say about its image",
        ge=0, le=1,
    )  # fmt: skip
    vote: Vote = setting(
        "balanced-accuracy",
        "How the parts of an image decide: the mean of their probabilities, each weighed by its "
        "balanced accuracy, by its accuracy (as release 1.6 does), or alike (mean); or the class "
        "that most parts name (hard)",
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """The column that holds the class."""
        return (self.label,)


def _in_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Regression(Choice):
    """One or several numbers that belong to an image."""

    builds: ClassVar[str] = "clinicadl.tasks.regression:regression"

    name: Literal["regression"] = "regression"
    label: Annotated[tuple[str, ...], BeforeValidator(_in_a_list), AfterValidator(_once)] = setting(
        ("age",), "Columns of the table that hold the numbers", min_length=1
    )
    loss: Distance = setting("MSELoss", "Loss, mean over the samples", short="l")
    selection_metrics: Annotated[
        tuple[str, ...], AfterValidator(partial(_known, task="regression"))
    ] = _selection()
    vote: Literal["mean", "inverse-mae"] = setting(
        "mean",
        "How the parts of an image decide: the mean of what they say, all alike (mean), or each "
        "weighed by 1 / its mean absolute error on validation (inverse-mae)",
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that hold the numbers."""
        return self.label


class Reconstruction(Choice):
    """The image itself."""

    builds: ClassVar[str] = "clinicadl.tasks.reconstruction:reconstruction"

    name: Literal["reconstruction"] = "reconstruction"
    loss: Literal[Distance, Evidence] | None = setting(
        None,
        "Loss, mean over the samples (default: MSELoss; of a variational network VAEGaussianLoss)",
        short="l",
    )
    recons_weight: float = setting(
        1.0, "Weight of the reconstruction in the loss of a variational network", ge=0
    )
    kl_weight: float | None = setting(
        None,
        "Weight of the divergence of the code from a standard normal in that loss (default: 1; of "
        "CVAE_3D 5)",
        ge=0,
    )
    visualization: bool = setting(
        False,
        "After training, write what was given back of the first three participants of train and "
        "validation as NIfTI, and as a picture",
    )
    selection_metrics: Annotated[
        tuple[str, ...], AfterValidator(partial(_known, task="reconstruction"))
    ] = _selection()

    @property
    def labels(self) -> tuple[str, ...]:
        """No column: the image is its own target."""
        return ()


TASKS: dict[str, type[Choice]] = {
    "classification": Classification,
    "regression": Regression,
    "reconstruction": Reconstruction,
}
