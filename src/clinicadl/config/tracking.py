"""Who is told of a training beside its own logs; nothing here changes what is learnt."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import field_validator

from clinicadl.config.base import Choice, Section, from_table, setting


class Tracker(Choice):
    """Where runs are kept and compared: ``build(config)`` returns an observer of an experiment."""

    extra: ClassVar[str] = ""
    """Extra of ours that brings the packages."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports."""


class Untracked(Tracker):
    """The logs in the MAPS alone."""

    builds: ClassVar[str] = "clinicadl.engine.watch:nobody"
    name: Literal[""] = ""


class MLflow(Tracker):
    """MLflow, in a SQLite file in the MAPS or on a server of yours."""

    builds: ClassVar[str] = "clinicadl.engine.observers.mlflow:tracker"
    extra: ClassVar[str] = "mlflow"
    packages: ClassVar[tuple[str, ...]] = ("mlflow", "sqlalchemy", "alembic")
    name: Literal["mlflow"] = "mlflow"
    mlflow_uri: str = setting(
        "", "Where the runs are kept: sqlite:////FILE or a server (default: a file in the MAPS)"
    )
    mlflow_experiment: str = setting(
        "", "Experiment of the runs, made if there is none (default: clinicadl-MAPS)"
    )

    @field_validator("mlflow_uri")
    @classmethod
    def _is_whole(cls, uri: str) -> str:
        if uri.startswith("sqlite:") and not uri.startswith("sqlite:////"):
            # A resumed training may be started in another folder.
            raise ValueError("a SQLite file is named by its whole path: sqlite:////FOLDER/FILE")
        return uri


class WeightsAndBiases(Tracker):
    """Weights & Biases, on this machine unless the online mode is asked for."""

    builds: ClassVar[str] = "clinicadl.engine.observers.wandb:tracker"
    extra: ClassVar[str] = "wandb"
    packages: ClassVar[tuple[str, ...]] = ("wandb",)
    name: Literal["wandb"] = "wandb"
    wandb_project: str = setting("ClinicaDL", "Project of the runs", min_length=1)
    wandb_entity: str = setting("", "Team or user of the runs (default: that of the account)")
    wandb_mode: Literal["offline", "online"] = setting(
        "offline", "Keep the runs in the MAPS, or send them to the server too"
    )


TRACKERS: dict[str, type[Tracker]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "": Untracked,
}
TABLE = from_table(TRACKERS, "clinicadl.trackers", kind=Tracker)


class TrackingConfig(Section):
    """Trackers, and the estimate of emissions."""

    track_exp: Annotated[Tracker, TABLE] = setting(
        Untracked(), "Tell a tracker of each epoch too, and give it the results", short="te"
    )
    track_weights: int = setting(
        50, "Give the tracker the weights of best models up to this size", unit="MB", ge=0
    )
    track_emissions: bool = setting(
        False,
        "Estimate energy and CO2 of the training, by CodeCarbon",
        flag="calculate_emissions",
        off="dont_calculate_emissions",
    )
    emissions_country: str = setting(
        "",
        "Country whose electricity is used, as three letters (default: the world's average)",
        pattern=r"^([A-Z]{3})?$",
    )
