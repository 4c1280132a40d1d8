"""The one description of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import model_validator

from clinicadl.config.architecture import Architecture
from clinicadl.config.base import Section, from_table, setting
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.data import DataConfig
from clinicadl.config.network import TABLE, Conv5FC3
from clinicadl.config.optimization import OptimizationConfig
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.config.task import TASKS, Classification, TaskSettings
from clinicadl.config.transfer import TransferConfig
from clinicadl.config.transforms import TransformsConfig
from clinicadl.config.validation import ValidationConfig

DEFAULT_NETWORK = {"reconstruction": "AE_Conv5_FC3"}
"""The network of a task when nobody names one, where it is not that of all others."""


class ExperimentConfig(Section):
    """All that decides what a training learns, and from what."""

    data: DataConfig
    task: Annotated[
        TaskSettings, from_table(TASKS, "clinicadl.tasks", default="classification")
    ] = Classification()
    network: Annotated[Architecture, TABLE] = setting(
        Conv5FC3(), "Network", flag="architecture", short="a"
    )
    multi_network: bool = setting(
        False, "Train a network for each part, independent of the others", off="single-network"
    )
    transforms: TransformsConfig = TransformsConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    validation: ValidationConfig = ValidationConfig()
    transfer: TransferConfig = TransferConfig()
    reproducibility: ReproducibilityConfig = ReproducibilityConfig()
    compute: ComputeConfig = ComputeConfig()

    @model_validator(mode="before")
    @classmethod
    def _with_the_network_of_the_task(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        task, network = given.get("task", {}), given.get("network", {})
        name = task.get("name") if isinstance(task, Mapping) else getattr(task, "name", task)
        if name not in DEFAULT_NETWORK or not isinstance(network, Mapping):
            return given
        return {**given, "network": {"name": DEFAULT_NETWORK[name], **network}}
