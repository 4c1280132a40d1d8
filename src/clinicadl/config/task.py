"""What is learnt."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol

from pydantic import field_validator

from clinicadl.config.base import Choice, setting
from clinicadl.config.names import nearest

SELECTABLE = (
    "loss", "BA", "accuracy", "F1_score", "sensitivity", "specificity", "PPV", "NPV", "MCC", "MK",
    "LR_plus", "LR_minus",
)  # fmt: skip
"""What can choose the best model of a classification."""


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
    selection_metrics: tuple[str, ...] = setting(
        ("loss",), "Validation metrics that each choose a best model", short="sm", min_length=1
    )

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

    @field_validator("selection_metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SELECTABLE:
                close = ", ".join(nearest(name, SELECTABLE))
                raise ValueError(f"'{name}' is not a metric of this task; the nearest are {close}")
        if len(set(names)) < len(names):
            raise ValueError("a metric is named twice")
        return names


TASKS: dict[str, type[Choice]] = {"classification": Classification}
