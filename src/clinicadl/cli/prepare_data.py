"""``clinicadl prepare-data``."""

from __future__ import annotations

from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.prepare import PrepareConfig

group = LazyGroup(
    "prepare-data",
    {"image": Row("clinicadl.cli.prepare_data:image", "One tensor an image.")},
    help="Turn the images of a CAPS into tensors, once.",
)


@click.command("image", cls=Command)
@click.option("--dry-run", is_flag=True, help="Say what would be read and written, and stop.")
@options_of(PrepareConfig, arguments=("caps_directory", "preprocessing"))
def image(dry_run: bool, **flags: Any) -> None:
    """Write one tensor for each image of CAPS_DIRECTORY, and the JSON that describes them.

    An interrupted run goes on where it stopped; tensors that are there and still belong to their
    images are left alone. Images that cannot be used are listed, and the others go on.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.data.prepare import plan, run

    planned = plan(settings(PrepareConfig, given(flags)))
    if dry_run:
        click.echo(f"{len(planned.jobs)} images, the first: {planned.jobs[0].image.path}")
        click.echo(f"would write: {planned.jobs[0].target.tensor}, ...")
        click.echo(f"would write: {planned.extraction}")
        return
    written = total = 0
    for outcome in progress(run(planned), total=len(planned.jobs), what="prepare-data"):
        total += 1
        written += outcome.result is not None and outcome.result.written
        if outcome.error is not None:
            click.echo(f"skipped: {outcome.error}", err=True)
    click.echo(f"{written} tensors written, {total - written} were up to date")
    click.echo(f"extraction JSON: {planned.extraction}")
