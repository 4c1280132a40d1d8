"""``clinicadl compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.compare import CompareConfig


@click.command("compare", cls=Command)
@click.argument("maps", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be compared, and write nothing.")
@options_of(CompareConfig, without=("maps",))
def command(dry_run: bool, **flags: Any) -> None:
    """Compare trained models on the same data group, with each other and with simple baselines.

    Only predictions that are in the MAPS are read. Every difference has an interval and a
    p-value, from resamples of the participants.
    """
    from clinicadl.config.read import settings
    from clinicadl.report.comparison import compared
    from clinicadl.report.judged import ready

    planned = ready(settings(CompareConfig, given(flags)))
    if dry_run:
        for said in planned.said:
            click.echo(f"would compare: {said.name}, split {said.split}, {len(said.table)} images")
        if planned.config.output is not None:
            click.echo(f"would write: {planned.config.output}")
        return
    for line in compared(planned).lines():
        click.echo(line)
