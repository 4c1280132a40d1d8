"""Train and judge deep networks on brain images, without data leakage.

Every command is also a function here: each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinicadl.config.experiment import ExperimentConfig as ExperimentConfig
    from clinicadl.config.generate import RandomConfig as RandomConfig
    from clinicadl.config.generate import SheppLoganConfig as SheppLoganConfig
    from clinicadl.config.generate import TrivialConfig as TrivialConfig
    from clinicadl.config.predict import PredictConfig as PredictConfig
    from clinicadl.config.prepare import PrepareConfig as PrepareConfig
    from clinicadl.config.read import experiment as read_experiment  # noqa: F401  # public
    from clinicadl.config.tables import KFoldConfig as KFoldConfig
    from clinicadl.config.tables import SplitConfig as SplitConfig
    from clinicadl.data.prepare import prepare_data as prepare_data
    from clinicadl.engine.predict import predict as predict
    from clinicadl.engine.train import resume as resume
    from clinicadl.engine.train import train as train
    from clinicadl.synthesis.noise import generate_random as generate_random
    from clinicadl.synthesis.shepplogan import generate_shepplogan as generate_shepplogan
    from clinicadl.synthesis.trivial import generate_trivial as generate_trivial
    from clinicadl.tables.folds import kfold as kfold
    from clinicadl.tables.split import split as split

_HOMES = {
    "ExperimentConfig": "clinicadl.config.experiment:ExperimentConfig",
    "KFoldConfig": "clinicadl.config.tables:KFoldConfig",
    "PredictConfig": "clinicadl.config.predict:PredictConfig",
    "PrepareConfig": "clinicadl.config.prepare:PrepareConfig",
    "RandomConfig": "clinicadl.config.generate:RandomConfig",
    "SheppLoganConfig": "clinicadl.config.generate:SheppLoganConfig",
    "SplitConfig": "clinicadl.config.tables:SplitConfig",
    "TrivialConfig": "clinicadl.config.generate:TrivialConfig",
    "generate_random": "clinicadl.synthesis.noise:generate_random",
    "generate_shepplogan": "clinicadl.synthesis.shepplogan:generate_shepplogan",
    "generate_trivial": "clinicadl.synthesis.trivial:generate_trivial",
    "kfold": "clinicadl.tables.folds:kfold",
    "predict": "clinicadl.engine.predict:predict",
    "prepare_data": "clinicadl.data.prepare:prepare_data",
    "read_experiment": "clinicadl.config.read:experiment",
    "resume": "clinicadl.engine.train:resume",
    "split": "clinicadl.tables.split:split",
    "train": "clinicadl.engine.train:train",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clinicadl' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(_HOMES)
