"""``clinicadl train from-maps`` and ``from-json``: an experiment that was described before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, ListOption, options_of
from clinicadl.config.jobs import JobsConfig

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
@options_of(JobsConfig)
def from_maps(
    input_maps_directory: Path,
    output_maps_directory: Path,
    split: tuple[int, ...],
    dry_run: bool,
    **flags: Any,
) -> None:
    """Train the experiment of another MAPS anew, also of one that release 1.6.1 wrote.

    From a MAPS of this release the new one has the same bits, on the same machine and with the same
    versions; whatever is not as it was is told.
    """
    from clinicadl.layouts.files import existing_folder

    source = existing_folder(input_maps_directory, "MAPS")
    _train(source, output_maps_directory, split, dry_run, flags)


@click.command("from-json", cls=Command)
@click.argument("config_json", type=click.Path(path_type=Path))
@click.argument("output_maps_directory", type=click.Path(path_type=Path))
@_split
@_dry_run
@options_of(JobsConfig)
def from_json(
    config_json: Path,
    output_maps_directory: Path,
    split: tuple[int, ...],
    dry_run: bool,
    **flags: Any,
) -> None:
    """Train the experiment that a JSON file describes, such as the maps.json of a MAPS."""
    from clinicadl.layouts.files import read_json

    read_json(config_json, "configuration file")
    _train(config_json, output_maps_directory, split, dry_run, flags)


def _train(
    source: Path, maps: Path, splits: tuple[int, ...], dry_run: bool, flags: dict[str, Any]
) -> None:
    from clinicadl.cli.train import complete, describe, jobs_of, show_jobs
    from clinicadl.engine.repeat import ready

    jobs, _ = jobs_of(flags)
    planned = ready(source, maps, splits=splits, jobs=jobs)
    if dry_run:
        describe(planned, planned.config)
        click.echo(f"# would write: {maps}")
        show_jobs(planned, maps, planned.config.validation.chosen(), jobs)
        return
    complete(planned, maps, jobs)
