"""``clinicadl audit``, and ``clinicadl tsvtools check``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.audit import AuditConfig, CheckConfig
from clinicadl.errors import MORE

if TYPE_CHECKING:
    from clinicadl.config.base import Section
    from clinicadl.guard.audit import Report

_PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


@click.command("audit", cls=Command)
@_PATHS
@click.option("--dry-run", is_flag=True, help="Print the settings and what would be read.")
@options_of(AuditConfig, without=("paths",))
def command(dry_run: bool, **flags: Any) -> None:
    """Find leakage in tables, CAPS and MAPS of any origin, each by itself and between them.

    PATHS are folders of split tables, tables, a table of cohorts, CAPS, and MAPS of this release or
    of 1.x; nothing in them is changed. Exit code 4: somebody is on both sides. Exit code 65: a
    table or an image is wrong in itself.
    """
    from clinicadl.config.read import settings
    from clinicadl.engine.audit import plan, run

    planned = plan(settings(AuditConfig, given(flags)))
    if not dry_run:
        _tell(run(planned))
        return
    candidates = planned.tables.candidates if planned.tables is not None else ()
    read = (*planned.maps, *planned.caps, *(one.path for one in candidates))
    _say_plan(planned.config, read, (planned.config.json_file, planned.config.pictures))


@click.command("check", cls=Command)
@_PATHS
@click.option("--dry-run", is_flag=True, help="Print the settings and what would be read.")
@options_of(CheckConfig, without=("paths",))
def check(dry_run: bool, **flags: Any) -> None:
    """Find leakage in split tables of any origin: folders, tables, or a table of cohorts.

    Names of files and folders tell which set a table is: train, validation, test, and their other
    names. Exit code 4: somebody is on both sides. Exit code 65: a table is wrong in itself.
    """
    from clinicadl.config.read import settings
    from clinicadl.guard.audit import check_tables, plan

    config = settings(CheckConfig, given(flags))
    if dry_run:
        planned = plan(config)
        _say_plan(config, (one.path for one in planned.candidates), (config.json_file,))
        return
    _tell(check_tables(config))


def _tell(report: Report) -> None:
    for line in report.lines():
        click.echo(line)
    for rule in dict.fromkeys(one.rule for one in report.warnings):
        click.echo(f"{MORE} {rule}", err=True)
    report.enforce()


def _say_plan(config: Section, read: Iterable[Path], written: Iterable[Path | None]) -> None:
    from clinicadl.config.read import to_toml

    click.echo(to_toml(config))
    for path in dict.fromkeys(read):
        click.echo(f"# would read: {path}")
    for target in written:
        if target is not None:
            click.echo(f"# would write: {target}")
