"""``clinicadl gui``."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.gui import GuiConfig


@click.command("gui", cls=Command)
@click.argument(
    "experiment_toml", metavar="[FILE]", required=False, type=click.Path(path_type=Path)
)
@options_of(GuiConfig, without=("experiment_toml",))
def command(**flags: Any) -> None:
    """Fill in the settings of an experiment in a browser, checked as you type.

    FILE is opened if it is there, and is what Save writes; without it, Save downloads. The page is
    served on this machine alone, until Ctrl-C, and asks nothing of any other.
    """
    from clinicadl.config.read import settings
    from clinicadl.gui.page import write_form
    from clinicadl.gui.server import open_form

    config = settings(GuiConfig, given(flags))
    if config.export is not None:
        click.echo(f"form: {write_form(config)}")
        return
    with open_form(config) as address:
        click.echo(f"form: {address}")
        click.echo("Ctrl-C ends it.")
        # How a form ends: nothing was interrupted.
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
