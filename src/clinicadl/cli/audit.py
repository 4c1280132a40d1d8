"""``clinicadl tsvtools check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.audit import CheckConfig


@click.command("check", cls=Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print the settings and what would be read.")
@options_of(CheckConfig, without=("paths",))
def check(dry_run: bool, **flags: Any) -> None:
    """Find leakage in split tables of any origin: folders, tables, or a table of cohorts.

    Names of files and folders tell which set a table is: train, validation, test, and their other
    names. Exit code 4: somebody is on both sides. Exit code 65: a table is wrong in itself.
    """
    from clinicadl.config.read import settings, to_toml
    from clinicadl.guard.audit import check_tables, plan

    config = settings(CheckConfig, given(flags))
    if dry_run:
        planned = plan(config)
        click.echo(to_toml(config))
        for path in dict.fromkeys(one.path for one in planned.candidates):
            click.echo(f"# would read: {path}")
        if config.json_file is not None:
            click.echo(f"# would write: {config.json_file}")
        return
    report = check_tables(config)
    for line in report.lines():
        click.echo(line)
    report.enforce()
