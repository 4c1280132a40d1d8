"""Runs of MLflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote, unquote

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.tracking import MLflow
from clinicadl.engine.observers.tracked import Run, RunOf, Tracked, as_text, facts
from clinicadl.layouts.files import turn
from clinicadl.layouts.maps import names

_AT_ONCE = 100
"""Parameters that MLflow takes in one call."""
_LONGEST = 6000
"""Characters of a parameter that MLflow takes."""
_SQLITE = "sqlite:///"
_MAPS = "clinicadl.maps"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""What a training waits for a server, where the user says nothing else: MLflow waits minutes."""


def tracker(settings: MLflow, config: ExperimentConfig) -> Tracked:
    """Return an observer that keeps its runs in MLflow."""

    def opens(of: RunOf, identity: str | None) -> Run:
        return _open(settings, config, of, identity)

    return Tracked("mlflow", opens, config)


class _MLflowRun:
    """A run of MLflow."""

    def __init__(self, client: Any, identity: str) -> None:
        self._client, self.identity = client, identity

    def known(self) -> set[int]:
        """Return the epochs that it has."""
        history = self._client.get_metric_history(self.identity, "time")
        return {measured.step for measured in history}

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the metrics of an epoch, all of them or none."""
        from mlflow.entities import Metric

        now = round(time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in values.items()]
        self._client.log_batch(self.identity, metrics=metrics)

    def keep(self, path: Path, folder: str) -> None:
        """Copy a file into a folder of the run."""
        self._client.log_artifact(self.identity, str(path), folder or None)

    def end(self, *, is_complete: bool) -> None:
        """Close it."""
        self._client.set_terminated(self.identity, "FINISHED" if is_complete else "KILLED")


def _open(settings: MLflow, config: ExperimentConfig, of: RunOf, identity: str | None) -> Run:
    # Nothing leaves the machine but what the user asks for: MLflow reports its use otherwise.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for talkative in ("mlflow", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    own = f"{_SQLITE}{quote(str(names.mlflow_store(of.maps).absolute()))}"
    uri = settings.mlflow_uri or own
    if uri.startswith(_SQLITE):
        _file(uri).parent.mkdir(parents=True, exist_ok=True)
    # Splits that begin at the same time would both make the data base, and the experiment in it.
    with turn(of.maps):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        named = settings.mlflow_experiment or f"clinicadl-{of.maps.name}"
        experiment = _experiment(client, named, uri)
    if identity is not None and _has(client, experiment, identity):
        client.update_run(identity, status="RUNNING")
        return _MLflowRun(client, identity)
    made = client.create_run(experiment, run_name=of.name, tags={_MAPS: of.maps.name})
    _describe(client, made.info.run_id, facts(config))
    return _MLflowRun(client, made.info.run_id)


def _experiment(client: Any, name: str, uri: str) -> str:
    """Return the identity of an experiment, which is made if there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # Files of a data base would otherwise lie in the folder that the command is started in.
    beside = (_file(uri).parent / "artifacts").as_uri() if uri.startswith(_SQLITE) else None
    return str(client.create_experiment(name, artifact_location=beside))


def _file(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(_SQLITE)))


def _has(client: Any, experiment: str, identity: str) -> bool:
    """Return whether a run is in an experiment, and was not deleted."""
    found: Sequence[Any] = client.search_runs(
        [experiment], f"attributes.run_id = '{identity}'", max_results=1
    )
    return bool(found)


def _describe(client: Any, identity: str, said: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(name, as_text(value)[:_LONGEST]) for name, value in said.items()]
    for start in range(0, len(params), _AT_ONCE):
        client.log_batch(identity, params=params[start : start + _AT_ONCE])
