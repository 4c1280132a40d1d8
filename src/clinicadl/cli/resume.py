"""``clinicadl train resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, ListOption, given, options_of
from clinicadl.cli.train import describe, follow, jobs_of, show_jobs
from clinicadl.config.base import places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.places import is_place

_OTHERS = tuple(
    {one.path[-2] if one.table else one.path[-1] for one in places(ExperimentConfig)}
    - {one.path[-1] for one in places(ExperimentConfig) if is_place(one)}
)
"""Settings that name no place: an experiment that goes on keeps them."""


@click.command("resume", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.option(
    "-s", "--split", type=int, multiple=True, cls=ListOption,
    help="Splits to go on with (default: those of the experiment).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the settings as TOML and what would be done.")
@options_of(JobsConfig)
@options_of(ExperimentConfig, without=_OTHERS)
def command(
    input_maps_directory: Path, split: tuple[int, ...], dry_run: bool, **flags: Any
) -> None:
    """Go on with an interrupted training, to the same bits as without the interruption.

    Images, tables, or a MAPS that gave first weights may lie elsewhere now: --caps-directory and
    the other options of places say where, once. What they hold must be what it was.
    """
    from clinicadl.cli.console import watching
    from clinicadl.engine.resume import ready, run, submit
    from clinicadl.errors import listed

    jobs, others = jobs_of(flags)
    maps = input_maps_directory
    found = ready(maps, splits=split, places=given(others), jobs=jobs)
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
