"""What is said of a command over many images while jobs carry it out."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from clinicadl.config.jobs import PerImage


def submit(config: PerImage, summary: Path, n_images: int, said: Callable[[], None]) -> None:
    """Submit the jobs of a command; where they run on this machine, wait for them.

    Parameters
    ----------
    config
        The settings.
    summary
        What the names of logs and tables begin with.
    n_images
        Images of all jobs.
    said
        Says what was made, in the end, however that came.
    """
    from clinicadl.cli.console import progress
    from clinicadl.data import shards
    from clinicadl.errors import listed

    submitted = shards.submit(config, summary)
    click.echo(f"{len(submitted.ids)} jobs: {listed(submitted.ids)}")
    click.echo(f"logs: {submitted.folder}")
    if config.jobs.submit == "slurm":
        click.echo(f"state: {submitted.state_command}")
        click.echo(
            "when they are over: the same command without --submit and --n_shards makes what is "
            "missing and says what cannot be used"
        )
        return
    try:
        with closing(shards.finish(submitted, config, summary, n_images)) as ended:
            for _ in progress(ended, total=len(submitted.ids), what=config.command, unit="job"):
                pass
    finally:
        said()


def show(config: PerImage) -> None:
    """Show the commands of the jobs, if there are any, for ``--dry-run``."""
    from clinicadl.data.shards import commands

    if config.jobs.submit is not None:
        for words in commands(config):
            click.echo(f"# would submit: {shlex.join(words)}")
