"""``clinicadl hub``: trained models go from one machine to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.hub import ExportConfig, PushConfig

group = LazyGroup(
    "hub",
    {
        "push": Row("clinicadl.cli.hub:push", "Share the trained models of a MAPS."),
        "pull": Row("clinicadl.cli.hub:pull", "Take shared models as a MAPS."),
        "show": Row("clinicadl.cli.hub:show", "Say what shared models are."),
        "export": Row("clinicadl.cli.hub:export", "Write a trained network as ONNX."),
    },
    help="Share trained models, and take those of others.",
)


@click.command("push", cls=Command)
@click.argument("maps_directory", type=click.Path(path_type=Path))
@click.argument("target")
@click.option("--dry-run", is_flag=True, help="Say what would be told, and write nothing.")
@options_of(PushConfig)
def push(maps_directory: Path, target: str, dry_run: bool, **flags: Any) -> None:
    """Share the trained models of a MAPS, in a folder, a file .zip, or hf:ORGANISATION/NAME.

    Weights, settings and results go; names of participants and of places on this machine do not.
    Those who were seen go as salted hashes, so that the leakage guard knows them at the other end.
    """
    from clinicadl.config.read import settings
    from clinicadl.hub.push import ready, write

    planned = ready(settings(PushConfig, given(flags)), maps_directory, target)
    if dry_run:
        for model in planned.models:
            click.echo(f"would share: split {model.split}, best by {model.metric}")
        click.echo(f"would write: {target}")
        return
    shared = write(planned)
    n_bytes = sum(one.n_bytes for one in shared.files.values())
    click.echo(f"shared: {target}, {len(shared.models)} models, {n_bytes / 1e6:.1f} MB")


@click.command("pull")
@click.argument("source")
@click.argument("maps_directory", type=click.Path(path_type=Path))
def pull(source: str, maps_directory: Path) -> None:
    """Take shared models as a new MAPS: from a folder, a file .zip, or hf:ORGANISATION/NAME.

    Nothing in them can run; what is not as it should be is refused, and leaves nothing behind.
    """
    from clinicadl.hub.pull import pull as pull_models

    pull_models(source, maps_directory)
    click.echo(f"MAPS: {maps_directory}")


@click.command("show")
@click.argument("source")
def show(source: str) -> None:
    """Say what shared models are, whom they have seen, and which images they know.

    No weight is read.
    """
    from clinicadl.hub.pull import show as show_models

    click.echo(show_models(source), nl=False)


@click.command("export", cls=Command)
@click.argument("maps_directory", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@options_of(ExportConfig)
def export(maps_directory: Path, file: Path, **flags: Any) -> None:
    """Write a trained network as an ONNX file, which says what it needs as input.

    The file is kept only if ONNX Runtime gives the same outputs.
    """
    from clinicadl.config.read import settings
    from clinicadl.hub.export import export as export_network

    export_network(settings(ExportConfig, given(flags)), maps_directory, file)
    click.echo(f"ONNX: {file}")
