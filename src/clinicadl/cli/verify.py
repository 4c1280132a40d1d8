"""``clinicadl verify``."""

from __future__ import annotations

from pathlib import Path

import click

from clinicadl.cli.options import Command


@click.command("verify", cls=Command)
@click.argument("maps_directory", type=click.Path(path_type=Path))
@click.option(
    "--rerun", is_flag=True,
    help="Train a split again, in a temporary folder, and compare bit by bit.",
)  # fmt: skip
@click.option(
    "-s", "--split", type=int, help="The split that is trained again (default: the first trained)."
)
def command(maps_directory: Path, rerun: bool, split: int | None) -> None:
    """Check that a MAPS is what was recorded; nothing in it is changed.

    Weights, tables of results and data groups are compared with their hashes, tables and images
    with those of training, as far as they can be reached; the leakage guard is asked again. What
    differs is listed, and the exit code is then 65.
    """
    from clinicadl.cli.console import watching
    from clinicadl.engine.verify import UNCHECKED, refuse_different, steps
    from clinicadl.layouts.maps.folder import open_maps

    task = open_maps(maps_directory).record.config.task
    found = []
    for one in steps(maps_directory, rerun=rerun, split=split, observers=watching(task)):
        click.echo(f"{one.outcome}: {one.sentence}")
        found.append(one)
    refuse_different(maps_directory, found)
    n_left = sum(one.outcome == UNCHECKED for one in found)
    left = f", but for what could not be checked: {n_left}" if n_left else ""
    click.echo(f"{maps_directory} is as it was recorded{left}")
