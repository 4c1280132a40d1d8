"""``clinicadl train from-maps`` and ``from-json``: an experiment that was described before."""

from __future__ import annotations

from pathlib import Path

import click

from clinicadl.cli.options import Command, ListOption

_split = click.option(
    "-s", "--split", type=int, multiple=True, cls=ListOption,
    help="Splits that are trained (default: those of the experiment).",
)  # fmt: skip
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print the settings as TOML and what would be done."
)


@click.command("from-maps", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.argument("output_maps_directory", type=click.Path(path_type=Path))
@_split
@_dry_run
def from_maps(
    input_maps_directory: Path, output_maps_directory: Path, split: tuple[int, ...], dry_run: bool
) -> None:
    """Train the experiment of another MAPS anew, also of one that release 1.6.1 wrote.

    From a MAPS of this release the new one has the same bits, on the same machine and with the same
    versions; whatever is not as it was is told.
    """
    from clinicadl.layouts.files import existing_folder

    _train(existing_folder(input_maps_directory, "MAPS"), output_maps_directory, split, dry_run)


@click.command("from-json", cls=Command)
@click.argument("config_json", type=click.Path(path_type=Path))
@click.argument("output_maps_directory", type=click.Path(path_type=Path))
@_split
@_dry_run
def from_json(
    config_json: Path, output_maps_directory: Path, split: tuple[int, ...], dry_run: bool
) -> None:
    """Train the experiment that a JSON file describes, such as the maps.json of a MAPS."""
    from clinicadl.layouts.files import read_json

    read_json(config_json, "configuration file")
    _train(config_json, output_maps_directory, split, dry_run)


def _train(source: Path, maps: Path, splits: tuple[int, ...], dry_run: bool) -> None:
    from clinicadl.cli.console import watching
    from clinicadl.cli.train import describe
    from clinicadl.engine.repeat import ready
    from clinicadl.engine.train import run

    planned = ready(source, maps, splits=splits)
    if dry_run:
        describe(planned, planned.config)
        click.echo(f"# would write: {maps}")
        return
    run(planned, maps, observers=watching(planned.config.task))
    click.echo(f"MAPS: {maps}")
