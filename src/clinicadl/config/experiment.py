"""The one description of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import model_validator

from clinicadl.config.architecture import Architecture
from clinicadl.config.base import Section, setting
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.data import DataConfig
from clinicadl.config.network import TABLE, Conv5FC3
from clinicadl.config.optimization import OptimizationConfig
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.config.task import TABLE as TASK_TABLE
from clinicadl.config.task import Classification, TaskSettings, kind_of
from clinicadl.config.tracking import TrackingConfig
from clinicadl.config.transfer import TransferConfig
from clinicadl.config.transforms import TransformsConfig
from clinicadl.config.validation import ValidationConfig


class ExperimentConfig(Section):
    """All that decides what a training learns, and from what."""

    data: DataConfig
    task: Annotated[TaskSettings, TASK_TABLE] = Classification()
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
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="before")
    @classmethod
    def _with_the_network_of_the_task(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        task, network = kind_of(given.get("task", {})), given.get("network", {})
        if task is None or not isinstance(network, Mapping):
            return given
        return {**given, "network": {"name": task.default_network, **network}}
