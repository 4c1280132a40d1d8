"""``clinicadl bids-app``: the command line of BIDS Apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.bids_app import BidsAppConfig

if TYPE_CHECKING:
    from clinicadl.bids_app import participant


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"clinicadl {version('clinicadl')}")
        ctx.exit()


@click.command("bids-app", cls=Command)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Show the version.",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip
@options_of(BidsAppConfig, arguments=("bids_directory", "output_directory", "analysis_level"))
def command(dry_run: bool, **flags: Any) -> None:
    """Register the T1-weighted images of BIDS_DIRECTORY, judge them, and show them to a model.

    The command line is that of BIDS Apps. ANALYSIS_LEVEL participant makes, in OUTPUT_DIRECTORY, a
    CAPS of the images in MNI space (t1-linear), and of each participant a table of how likely its
    images lie on the template, and with --model one of what a trained model says of them. Level
    group gathers the tables of all participants, and writes a page.

    An interrupted run goes on where it stopped. Images that cannot be used are named, and the
    others go on. Needs the extra preproc.
    """
    from clinicadl.config.read import settings, to_toml

    config = settings(BidsAppConfig, given(flags))
    if config.analysis_level == "group":
        from clinicadl.bids_app import group

        gathered = group.plan(config)
        if dry_run:
            click.echo(to_toml(config))
            for path in (path for some in gathered.tables.values() for path in some):
                click.echo(f"# would read:  {path}")
            return
        click.echo(f"page: {group.run(gathered)}")
        return
    from clinicadl.bids_app import participant

    planned = participant.plan(config)
    if dry_run:
        click.echo(to_toml(config))
        _show(planned)
        return
    _run(planned)


def _run(planned: participant.Plan) -> None:
    from clinicadl.bids_app import participant
    from clinicadl.cli.console import progress

    target = planned.config.output_directory
    try:
        for _ in progress(
            participant.run(planned), total=planned.n_steps, what="bids-app", unit="step"
        ):
            pass
    finally:
        click.echo(f"derivatives: {target}")
        if planned.preprocessing.page.exists():
            click.echo(f"page: {planned.preprocessing.page}")


def _show(planned: participant.Plan) -> None:
    for job in planned.jobs:
        click.echo(f"# would read:  {job.image.path}")
        click.echo(f"# would write: {job.outputs.home / job.outputs.crop} and what belongs to it")
