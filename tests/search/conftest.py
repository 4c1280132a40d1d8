"""A small search on a tiny CAPS."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from clinicadl.config.search import SearchConfig

ARCHITECTURE = {
    "n_convblocks": [1, 3], "first_conv_width": [2, 4], "n_fcblocks": [1, 2], "n_conv": [1, 2],
    "d_reduction": ["MaxPooling", "stride"],
}  # fmt: skip


@pytest.fixture(scope="session")
def search_of() -> Callable[..., SearchConfig]:
    """Return a function that describes a search of quick trials on a prepared tiny CAPS."""

    def of(caps: Path, **settings) -> SearchConfig:
        experiment = {
            "data": {
                "caps_directory": str(caps),
                "preprocessing_json": "tiny",
                "tsv_directory": str(caps / "split" / "2_fold"),
            },
            "task": {"selection_metrics": ["loss", "BA"]},
            "network": {"name": "RandomArchitecture", "dropout": {"low": 0.0, "high": 0.5}},
            "optimization": {
                "epochs": 2,
                "batch_size": 6,
                "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
                "optimizer": ["Adam", "SGD"],
            },
            "validation": {"n_splits": 2, "split": [0]},
            "compute": {"n_proc": 0, "gpu": False},
        }
        base = {"n_trials": 4, "threads": 1, "round_size": 2, "n_startup": 2,
                "architecture": ARCHITECTURE, "experiment": copy.deepcopy(experiment)}  # fmt: skip
        nested = settings.pop("sections", {})
        for name, values in nested.items():
            base["experiment"][name] = {**base["experiment"].get(name, {}), **values}
        return SearchConfig(**{**base, **settings})

    return of
