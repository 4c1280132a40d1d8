"""``clinicadl interpret``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.interpret import InterpretConfig


@click.command("interpret", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.argument("data_group")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@options_of(InterpretConfig, arguments=("method",))
def command(
    input_maps_directory: Path, data_group: str, name: str, dry_run: bool, **flags: Any
) -> None:
    """Show what an output of the trained models of a MAPS rests on, voxel by voxel.

    METHOD says how: gradients and grad-cam need nothing else, the others the extra "interpret". A
    new DATA_GROUP needs --caps_directory and --participants_tsv, and passes the leakage guard; it
    is then known by its name. NAME is that of the interpretation.
    """
    from clinicadl.attribution.interpret import ready, run
    from clinicadl.attribution.shown import judged
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.layouts.maps import names

    config = settings(InterpretConfig, given(flags))
    planned = ready(config, input_maps_directory, data_group, name)
    models = planned.look.models
    folders = [
        names.interpretation(names.results(input_maps_directory, *model, data_group), name)
        for model in models
    ]
    if dry_run:
        click.echo(f"{len(planned.look.group.table)} sessions, seen by none of the models")
        for folder in folders:
            click.echo(f"would write: {folder}")
        return
    for _ in progress(run(planned), total=len(models), what=f"interpret {data_group}"):
        pass
    for folder in folders:
        click.echo(f"maps: {folder}")
        for line in judged(folder):
            click.echo(f"  {line}")
