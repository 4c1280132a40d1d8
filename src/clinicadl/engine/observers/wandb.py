"""Runs of Weights & Biases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.tracking import WeightsAndBiases
from clinicadl.engine.observers.tracked import Run, RunOf, Tracked, facts
from clinicadl.layouts.maps import names

_PATIENCE = 60
"""Seconds that it may wait for somebody to log in."""


def tracker(settings: WeightsAndBiases, config: ExperimentConfig) -> Tracked:
    """Return an observer that keeps its runs with Weights & Biases."""

    def opens(of: RunOf, identity: str | None) -> Run:
        return _open(settings, config, of, identity)

    return Tracked("wandb", opens, config)


class _WandbRun:
    """A run of Weights & Biases; ``before`` are folders of what it said before it went on."""

    def __init__(self, run: Any, before: Sequence[Path]) -> None:
        self._run, self.identity = run, str(run.id)
        self._before = before
        self._forget()

    def known(self) -> range:
        """Return the epochs that it has: those before the step at which it goes on."""
        return range(self._run.step)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the metrics of an epoch."""
        self._run.log({"epoch": epoch, **values}, step=epoch, commit=True)

    def keep(self, path: Path, folder: str) -> None:
        """Copy a file into a folder of the run."""
        own = Path(self._run.dir)
        target = own / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        self._run.save(str(target), base_path=str(own), policy="now")

    def end(self, *, is_complete: bool) -> None:
        """Close it."""
        self._run.finish(exit_code=0 if is_complete else 1)
        self._forget()

    def _forget(self) -> None:
        """Remove what the run says again: it would be sent twice.

        The process that writes them may still be at it, if it is ours: then later.
        """
        for folder in self._before:
            shutil.rmtree(folder, ignore_errors=True)


def _open(
    settings: WeightsAndBiases, config: ExperimentConfig, of: RunOf, identity: str | None
) -> Run:
    # Nothing leaves the machine but what the user asks for: reports of its errors neither.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    identity = identity or uuid4().hex
    is_online = settings.wandb_mode == "online"
    # Offline, a run that goes on does not know its history: it says all of it again.
    before = [] if is_online else [*names.wandb_runs(of.maps).glob(f"*-run-*-{identity}*")]
    # Neither who trains, nor on which machine, from which code or with which words on the screen.
    private = wandb.Settings(
        console="off", silent=True, disable_git=True, disable_code=True, save_code=False,
        x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True,
        x_save_requirements=False, host="-", login_timeout=_PATIENCE,
    )  # fmt: skip
    run = wandb.init(
        project=settings.wandb_project,
        entity=settings.wandb_entity or None,
        group=of.maps.name,
        name=of.name,
        id=identity,
        dir=of.maps,
        mode=settings.wandb_mode,
        resume="allow" if is_online else None,
        reinit="create_new",
        config=facts(config),
        settings=private,
    )
    return _WandbRun(run, before)
