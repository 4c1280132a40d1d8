"""``clinicadl train resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, ListOption, options_of
from clinicadl.cli.train import describe, follow, jobs_of, show_jobs
from clinicadl.config.jobs import JobsConfig


@click.command("resume", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.option(
    "-s", "--split", type=int, multiple=True, cls=ListOption,
    help="Splits to go on with (default: those of the experiment).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the settings as TOML and what would be done.")
@options_of(JobsConfig)
def command(
    input_maps_directory: Path, split: tuple[int, ...], dry_run: bool, **flags: Any
) -> None:
    """Go on with an interrupted training, to the same bits as without the interruption."""
    from clinicadl.cli.console import watching
    from clinicadl.engine.resume import ready, run, submit
    from clinicadl.errors import listed

    jobs, _ = jobs_of(flags)
    maps = input_maps_directory
    found = ready(maps, splits=split, jobs=jobs)
    if dry_run:
        describe(found.planned, found.planned.config)
        click.echo(f"# would go on with: {listed(f'split {n}' for n in found.splits) or 'nothing'}")
        show_jobs(found.planned, maps, found.splits, jobs)
        return
    if jobs.submit is not None and found.splits:
        follow(submit(found, jobs), maps, found.splits, jobs)
        return
    run(found, observers=watching(found.planned.config.task))
    click.echo(f"MAPS: {maps}")
