"""``clinicadl train``: the tasks, and resume."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.modes_first import MODES
from clinicadl.cli.options import Command, ListOption, given, options_of
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import TABLE, TaskSettings

if TYPE_CHECKING:
    from clinicadl.engine.plan import Plan

_TASKS = TABLE.all_rows()

group = LazyGroup(
    "train",
    {
        **{
            name: Row(f"clinicadl.cli.train:{name}", (row.__doc__ or name).partition("\n")[0])
            for name, row in _TASKS.items()
        },
        **{mode: Row(f"clinicadl.cli.modes_first:{mode}", short) for mode, short in MODES.items()},
        "resume": Row("clinicadl.cli.train:resume", "Go on with an interrupted training."),
        "list-models": Row(
            "clinicadl.cli.list_models:command", "List the networks, or the layers of one."
        ),
        "from-maps": Row("clinicadl.cli.repeat:from_maps", "Train what another MAPS did, anew."),
        "from-json": Row("clinicadl.cli.repeat:from_json", "Train what a JSON file describes."),
        "schema": Row(
            "clinicadl.cli.train:schema", "Print the JSON Schema of a configuration file."
        ),
    },
    help="Train networks, or go on with what was interrupted.",
)


_ARGUMENTS = """\
CAPS_DIRECTORY holds the images, PREPROCESSING_JSON says how they were prepared (its
path, or its name in the CAPS), TSV_DIRECTORY was written by tsvtools split or kfold, and
OUTPUT_MAPS_DIRECTORY gets everything that is learnt."""


def __getattr__(name: str) -> click.Command:
    """Return the command of a task, whoever declared the task.

    Raises
    ------
    AttributeError
        There is no such task.
    """
    if name not in _TASKS:
        raise AttributeError(name)
    return _command(name, _TASKS[name])


def _command(task: str, row: type[TaskSettings]) -> click.Command:
    """Return the command of a task, with the options of its settings and of no other task's."""
    _, _, what = cleandoc(row.__doc__ or task).partition("\n")

    @click.command(task, cls=Command, help=f"{what.strip()}\n\n{_ARGUMENTS}")
    @click.option(
        "-c", "--config-file", type=click.Path(path_type=Path),
        help="TOML or JSON file with settings, also of release 1.6.1; flags win over it.",
    )  # fmt: skip
    @click.option(
        "--dry-run", is_flag=True, help="Print the settings as TOML and what would be done."
    )
    @options_of(
        ExperimentConfig,
        arguments=("caps_directory", "preprocessing_json", "tsv_directory"),
        without=("task",),
        rows={"task": task},
        defaults={"network": row.default_network},
    )
    @click.argument("output_maps_directory", type=click.Path(path_type=Path))
    def command(
        config_file: Path | None, dry_run: bool, output_maps_directory: Path, **flags: Any
    ) -> None:
        _train(task, config_file, output_maps_directory, flags, dry_run=dry_run)

    return command


def _train(
    task: str,
    config_file: Path | None,
    output_maps_directory: Path,
    flags: Mapping[str, Any],
    *,
    dry_run: bool,
) -> None:
    from clinicadl.cli.console import watching
    from clinicadl.config.read import experiment
    from clinicadl.engine.train import ready, train

    nested = given(flags)
    nested.setdefault("task", {})["name"] = task
    config = experiment(nested, file=config_file)
    if dry_run:
        describe(ready(config, output_maps_directory), config)
        click.echo(f"# would write: {output_maps_directory}")
        return
    train(config, output_maps_directory, observers=watching(config.task))
    click.echo(f"MAPS: {output_maps_directory}")


def describe(planned: Plan, config: ExperimentConfig) -> None:
    """Print the settings as they were given, with the loss that was chosen, and what they mean."""
    from clinicadl.config.read import to_toml
    from clinicadl.engine.need import in_gb

    click.echo(to_toml(config.model_copy(update={"task": planned.config.task})))
    for one in planned.splits:
        chosen = "trained" if one.number in config.validation.chosen() else "not trained"
        click.echo(
            f"# split {one.number} ({chosen}): {len(one.train)} sessions of train, "
            f"{len(one.validation)} of validation"
        )
    click.echo(f"# memory: about {in_gb(planned.needed.total)}")
    classes = f"classes: {planned.codes}; " if planned.codes else ""
    click.echo(f"# {classes}shape of a sample: {planned.input_shape}")


@click.command("resume", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.option(
    "-s", "--split", type=int, multiple=True, cls=ListOption,
    help="Splits to go on with (default: those of the experiment).",
)  # fmt: skip
def resume(input_maps_directory: Path, split: tuple[int, ...]) -> None:
    """Go on with an interrupted training, to the same bits as without the interruption."""
    from clinicadl.cli.console import watching
    from clinicadl.engine.train import resume as go_on
    from clinicadl.layouts.maps.folder import open_maps

    task = open_maps(input_maps_directory).record.config.task
    go_on(input_maps_directory, splits=split, observers=watching(task))
    click.echo(f"MAPS: {input_maps_directory}")


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors that complete and check."""
    from clinicadl.config.read import json_schema

    click.echo(json_schema())
