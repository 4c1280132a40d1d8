"""Metrics that others declare: tried before they judge anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from clinicadl.config.metrics import load
from clinicadl.errors import UsageError
from clinicadl.tasks.metrics import ImageMetric, Metric, moments
from clinicadl.tasks.similarity import Pair

Row = TypeVar("Row", Metric, ImageMetric)

_CONFUSIONS = np.array([[[3, 1], [2, 4]], [[5, 0], [0, 0]], [[0, 0], [0, 5]]])
_SUMS = np.stack(
    [
        moments(np.array(true), np.array(said)).sum(0)
        for true, said in (([1.0, 2, 4], [1.0, 3, 3]), ([2.0, 2], [2.0, 2]))
    ]
)
_IMAGE = torch.linspace(0, 1, 9**3).reshape(1, 9, 9, 9)
_PROBES: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "classification": (_CONFUSIONS, (3,), "confusions of shape (3, 2, 2)"),
    "regression": (_SUMS, (2,), "sums of moments of shape (2, 5)"),
    "reconstruction": (Pair(_IMAGE, _IMAGE.square()), (), "a Pair of images (1, 9, 9, 9)"),
}
"""What an added metric is tried on, the shape of its answer, and words for it."""


def with_added(rows: Mapping[str, Row], kind: str, names: Sequence[str]) -> dict[str, Row]:
    """Return the metrics of a kind of task, and behind them some that others declare.

    Parameters
    ----------
    rows
        `CLASSIFICATION`, `REGRESSION` or `RECONSTRUCTION`.
    kind
        The name of the task, in lower case.
    names
        What plugins or packages declare.

    Raises
    ------
    UsageError
        One is no metric: not a row like ours, or its function does not do what those of ours do.
    """
    like = type(next(iter(rows.values())))
    added = {name: load(kind, name) for name in names}
    for name, row in added.items():
        wrong = _wrong_with(name, row, like, kind)
        if wrong:
            raise UsageError(
                f"The metric {name} that was added to {kind} cannot be used", found=wrong,
                where="--extra_metrics", fix="Declare it as the page on metrics says",
            )  # fmt: skip
    return {**rows, **added}


def _wrong_with(name: str, row: Any, like: type[Any], kind: str) -> str:
    """Return in words why a row is no metric; nothing if it is one."""
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        return "its name is not made of letters, digits and _"
    if not isinstance(row, like):
        return f"a {type(row).__name__} that is no {like.__name__}"
    probe, shape, words = _PROBES[kind]
    try:
        values = np.asarray(row.function(probe), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return f"{type(error).__name__} of {words}: {error}"
    if values.shape != shape:
        return f"values of shape {values.shape}, not {shape}, of {words}"
    if not ((row.low <= values) & (values <= row.high)).all():
        return f"{values.tolist()} outside of {row.low} to {row.high}, of {words}"
    return ""
