"""What is learnt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clinicadl.config.base import Choice, Table, from_table, setting
from clinicadl.config.metrics import declared
from clinicadl.config.names import nearest

Distance = Literal[
    "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "KLDivLoss", "BCEWithLogitsLoss"
]
"""Losses that compare numbers with numbers."""
Evidence = Literal["VAEGaussianLoss", "VAEBernoulliLoss", "VAEContinuousBernoulliLoss"]
"""Losses of variational networks."""

Vote = Literal["balanced-accuracy", "accuracy", "mean", "hard"]


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


class TaskSettings(Choice):
    """One row of the table of tasks."""

    kind: ClassVar[str]
    """The task of ours whose networks fit, and whose metrics it has."""
    metrics: ClassVar[tuple[str, ...]]
    """Those that are always computed, in the order of the logs; the loss comes with them."""
    default_network: ClassVar[str] = "Conv5_FC3"

    extra_metrics: tuple[str, ...] = setting(
        (), "Metrics of a plugin or of another package that are computed as well"
    )
    selection_metrics: tuple[str, ...] = setting(
        ("loss",), "Validation metrics that each choose a best model", short="sm", min_length=1
    )

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Columns of the table that are learnt."""

    @field_validator("extra_metrics")
    @classmethod
    def _are_declared(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in ("loss", *cls.metrics):
                raise ValueError(f"'{name}' is ours, and computed anyway")
            if name not in declared(cls.kind):
                raise PydanticCustomError(
                    "unknown_name",
                    "no plugin and no package declares '{name}' for {kind}; what a file of yours "
                    "adds needs --plugin FILE",
                    {"name": name, "kind": cls.kind},
                )
        return _once(names)

    @field_validator("selection_metrics")
    @classmethod
    def _are_computed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = ("loss", *cls.metrics, *info.data.get("extra_metrics", ()))
        for name in names:
            if name in known:
                continue
            if name in declared(cls.kind):
                raise ValueError(f"'{name}' needs to be computed: name it in extra_metrics")
            close = ", ".join(nearest(name, known))
            raise ValueError(f"'{name}' is not a metric of this task; the nearest are {close}")
        return _once(names)


class Classification(TaskSettings):
    """Learn which class an image is of.

    Train a network to tell classes apart, from images or parts of images.
    """

    builds: ClassVar[str] = "clinicadl.tasks.classification:classification"
    kind: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[str, ...]] = (
        "BA", "accuracy", "F1_score", "sensitivity", "specificity", "PPV", "NPV", "MCC", "MK",
        "LR_plus", "LR_minus",
    )  # fmt: skip

    name: Literal["classification"] = "classification"
    label: str = setting("diagnosis", "Column of the table that holds the class")
    label_code: dict[str, int] | None = setting(
        None, "Node of each class (default: sorted classes are 0, 1, ...); in a file only"
    )
    loss: Literal["CrossEntropyLoss", "MultiMarginLoss"] = setting(
        "CrossEntropyLoss", "Loss, mean over the samples", short="l"
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none",
        "Weights of the classes in the loss that is trained with: of balanced, in inverse "
        "proportion to their number in train",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of the truth that is spread over all classes in the loss that is trained with",
        ge=0, lt=1,
    )  # fmt: skip
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

    @model_validator(mode="after")
    def _smooths_what_can_be(self) -> Classification:
        if self.label_smoothing and self.loss != "CrossEntropyLoss":
            raise ValueError("label_smoothing needs the loss CrossEntropyLoss")
        return self


def _in_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Regression(TaskSettings):
    """Learn numbers, such as the age.

    Train a network to tell numbers, such as the age, from images or parts of images.
    """

    builds: ClassVar[str] = "clinicadl.tasks.regression:regression"
    kind: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("R2_score", "MAE", "RMSE", "MSE")

    name: Literal["regression"] = "regression"
    label: Annotated[tuple[str, ...], BeforeValidator(_in_a_list), AfterValidator(_once)] = setting(
        ("age",), "Columns of the table that hold the numbers", min_length=1
    )
    loss: Distance = setting("MSELoss", "Loss, mean over the samples", short="l")
    vote: Literal["mean", "inverse-mae"] = setting(
        "mean",
        "How the parts of an image decide: the mean of what they say, all alike (mean), or each "
        "weighed by 1 / its mean absolute error on validation (inverse-mae)",
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that hold the numbers."""
        return self.label


class Reconstruction(TaskSettings):
    """Learn to give back what is seen.

    Train a network to give back the images, or parts of images, that it gets.
    """

    builds: ClassVar[str] = "clinicadl.tasks.reconstruction:reconstruction"
    kind: ClassVar[str] = "reconstruction"
    metrics: ClassVar[tuple[str, ...]] = ("MAE", "RMSE", "PSNR", "SSIM", "MSE")
    default_network: ClassVar[str] = "AE_Conv5_FC3"

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

    @property
    def labels(self) -> tuple[str, ...]:
        """No column: the image is its own target."""
        return ()


TASKS: dict[str, type[TaskSettings]] = {
    "classification": Classification,
    "regression": Regression,
    "reconstruction": Reconstruction,
}

TABLE: Table[TaskSettings] = from_table(
    TASKS, "clinicadl.tasks", default="classification", kind=TaskSettings
)
"""Ours, and those of other packages and plugins."""


def kind_of(given: Any) -> type[TaskSettings] | None:
    """Return the row that a name, settings or a row mean; none where there is no such row."""
    if isinstance(given, TaskSettings):
        return type(given)
    name = given.get("name", TABLE.default) if isinstance(given, Mapping) else given
    return TABLE.all_rows().get(str(name))
