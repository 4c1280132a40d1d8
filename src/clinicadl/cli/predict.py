"""``clinicadl predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.predict import PredictConfig


@click.command("predict", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.argument("data_group")
@click.option("--dry-run", is_flag=True, help="Say what would be evaluated, and write nothing.")
@options_of(PredictConfig)
def command(input_maps_directory: Path, data_group: str, dry_run: bool, **flags: Any) -> None:
    """Evaluate the trained models of a MAPS on a data group that they have never seen.

    A new DATA_GROUP needs --caps_directory and --participants_tsv; it is then known by its name.
    The leakage guard comes first: participants that the models have seen are refused.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.engine.predict import ready, run
    from clinicadl.layouts.maps import names

    planned = ready(settings(PredictConfig, given(flags)), input_maps_directory, data_group)
    folders = [
        names.results(input_maps_directory, *model, data_group) for model in planned.look.models
    ]
    if dry_run:
        click.echo(f"{len(planned.look.group.table)} sessions, seen by none of the models")
        for folder in folders:
            click.echo(f"would write: {folder}")
        return
    for _ in progress(run(planned), total=len(planned.look.models), what=f"predict {data_group}"):
        pass
    for folder in folders:
        click.echo(f"results: {folder}")
