"""Which settings mean something, given others: the form hides those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MODE = "images.mode"
"""The mode of the extraction, as if it were a setting: it is no setting of an experiment."""


class Rule(NamedTuple):
    """When a setting means something."""

    on: str
    """The setting that decides, or `MODE`."""
    values: tuple[Any, ...]
    """Its values that decide."""
    among: bool = True
    """Whether the setting means something with these values, or with all others."""


_ON, _OFF = (True,), (False,)
_NOT_WHOLE = Rule(MODE, ("image",), among=False)
_WITH_LABELS = Rule("task.name", ("reconstruction",), among=False)
_WITH_A_SOURCE = Rule("transfer.transfer_path", (None,), among=False)

RULES: Mapping[str, Rule] = {
    "data.sampler": _WITH_LABELS,
    "data.shuffle_labels": _WITH_LABELS,
    "task.label_smoothing": Rule("task.loss", ("CrossEntropyLoss",)),
    "task.selection_threshold": _NOT_WHOLE,
    "task.vote": _NOT_WHOLE,
    "multi_network": _NOT_WHOLE,
    "transforms.normalization": Rule("transforms.normalize", _ON),
    "transforms.size_reduction": Rule(MODE, ("", "image")),
    "transforms.size_reduction_factor": Rule("transforms.size_reduction", _ON),
    "optimization.schedule": Rule("optimization.adaptive_learning_rate", _OFF),
    "optimization.warmup_epochs": Rule("optimization.adaptive_learning_rate", _OFF),
    "optimization.tolerance": Rule("optimization.patience", (0,), among=False),
    "validation.split": Rule("validation.n_splits", (0,), among=False),
    "transfer.transfer_selection_metric": _WITH_A_SOURCE,
    "transfer.transfer_layers": _WITH_A_SOURCE,
    "transfer.nb_unfrozen_layer": _WITH_A_SOURCE,
    "reproducibility.compensation": Rule("reproducibility.deterministic", _ON),
    "tracking.track_weights": Rule("tracking.track_exp.name", ("",), among=False),
    "tracking.emissions_country": Rule("tracking.track_emissions", _ON),
}
"""Setting -> when it means something; a setting that is not here always does.

A setting that is not at its default is shown all the same.
"""
