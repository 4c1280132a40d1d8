"""``clinicadl prepare-data``."""

from __future__ import annotations

from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.prepare import PrepareConfig
from clinicadl.config.preprocessing import PREPROCESSINGS

group = LazyGroup(
    "prepare-data",
    {"image": Row("clinicadl.cli.prepare_data:image", "One tensor an image.")},
    help="Turn the images of a CAPS into tensors, once.",
)


_IMAGE_HELP = f"""\
Write one tensor for each image of CAPS_DIRECTORY, and the JSON that describes them.

MODALITY is the preprocessing whose images are taken: {", ".join(PREPROCESSINGS)}. Of pet-linear,
--tracer and --suvr-reference-region must be given, of custom --custom-suffix.

An interrupted run goes on where it stopped; tensors that are there and still belong to their images
are left alone. Images that cannot be used are listed, and the others go on.
"""


@click.command("image", cls=Command, help=_IMAGE_HELP)
@click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip
@options_of(PrepareConfig, arguments=("caps_directory", "preprocessing"))
def image(dry_run: bool, **flags: Any) -> None:
    """Write one tensor an image, and the JSON that describes them."""
    from contextlib import closing

    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings, to_toml
    from clinicadl.data.prepare import is_prepared, plan, run

    planned = plan(settings(PrepareConfig, given(flags)))
    if dry_run:
        click.echo(to_toml(planned.config))
        for job in planned.jobs:
            if is_prepared(job):
                click.echo(f"# there already: {job.target.tensor}")
            else:
                click.echo(f"# would read:  {job.image.path}")
                click.echo(f"# would write: {job.target.tensor}")
        there = " (there already)" if planned.extraction.exists() else ""
        click.echo(f"# would write: {planned.extraction}{there}")
        return
    n_written = n_kept = 0
    try:
        with closing(run(planned)) as outcomes:
            for outcome in progress(outcomes, total=len(planned.jobs), what="prepare-data"):
                if outcome.error is not None:
                    click.echo(f"skipped: {outcome.error}", err=True)
                elif outcome.result is not None and outcome.result.written:
                    n_written += 1
                else:
                    n_kept += 1
    finally:
        click.echo(f"{n_written} tensors written, {n_kept} were there already")
        if planned.extraction.exists():
            click.echo(f"extraction JSON: {planned.extraction}")
