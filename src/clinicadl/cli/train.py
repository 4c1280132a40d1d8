"""``clinicadl train``: the tasks, and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, ListOption, given, options_of
from clinicadl.config.experiment import ExperimentConfig

group = LazyGroup(
    "train",
    {
        "classification": Row(
            "clinicadl.cli.train:classification", "Learn which class an image is of."
        ),
        "resume": Row("clinicadl.cli.train:resume", "Go on with an interrupted training."),
        "from-maps": Row("clinicadl.cli.repeat:from_maps", "Train what another MAPS did, anew."),
        "from-json": Row("clinicadl.cli.repeat:from_json", "Train what a JSON file describes."),
        "schema": Row(
            "clinicadl.cli.train:schema", "Print the JSON Schema of a configuration file."
        ),
    },
    help="Train networks, or go on with what was interrupted.",
)


@click.command("classification", cls=Command)
@click.option(
    "-c", "--config-file", type=click.Path(path_type=Path),
    help="TOML or JSON file with settings, also of release 1.6.1; flags win over it.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the settings as TOML and what would be done.")
@options_of(
    ExperimentConfig,
    arguments=("caps_directory", "preprocessing_json", "tsv_directory"),
    without=("task",),
)
@click.argument("output_maps_directory", type=click.Path(path_type=Path))
def classification(
    config_file: Path | None, dry_run: bool, output_maps_directory: Path, **flags: Any
) -> None:
    """Train a network to tell classes apart, on whole images.

    CAPS_DIRECTORY holds the images, PREPROCESSING_JSON says how they were prepared (its path, or
    its name in the CAPS), TSV_DIRECTORY was written by tsvtools split or kfold, and
    OUTPUT_MAPS_DIRECTORY gets everything that is learnt.
    """
    from clinicadl.cli.console import TrainingProgress
    from clinicadl.config.read import experiment, to_toml
    from clinicadl.engine.train import ready, train

    nested = given(flags)
    nested.setdefault("task", {})["name"] = "classification"
    config = experiment(nested, file=config_file)
    if dry_run:
        planned = ready(config, output_maps_directory)
        click.echo(to_toml(config))
        for one in planned.splits:
            chosen = "trained" if one.number in config.validation.chosen() else "not trained"
            click.echo(
                f"# split {one.number} ({chosen}): {len(one.train)} sessions of train, "
                f"{len(one.validation)} of validation"
            )
        click.echo(f"# classes: {planned.codes}; shape of a sample: {planned.input_shape}")
        click.echo(f"# would write: {output_maps_directory}")
        return
    train(config, output_maps_directory, observers=(TrainingProgress(),))
    click.echo(f"MAPS: {output_maps_directory}")


@click.command("resume", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.option(
    "-s", "--split", type=int, multiple=True, cls=ListOption,
    help="Splits to go on with (default: those of the experiment).",
)  # fmt: skip
def resume(input_maps_directory: Path, split: tuple[int, ...]) -> None:
    """Go on with an interrupted training, to the same bits as without the interruption."""
    from clinicadl.cli.console import TrainingProgress
    from clinicadl.engine.train import resume as go_on

    go_on(input_maps_directory, splits=split, observers=(TrainingProgress(),))
    click.echo(f"MAPS: {input_maps_directory}")


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors that complete and check."""
    from clinicadl.config.read import json_schema

    click.echo(json_schema())
