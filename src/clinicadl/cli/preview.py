"""``clinicadl prepare-data preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.preview import PreviewConfig


@click.command("preview", cls=Command)
@click.option(
    "-c", "--config-file", type=click.Path(path_type=Path),
    help="TOML file of an experiment, for its transforms and its seed; flags win over it.",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip
@options_of(PreviewConfig, arguments=("caps_directory", "preprocessing_json", "output_png"))
def preview(config_file: Path | None, dry_run: bool, **flags: Any) -> None:
    """Draw a few samples to OUTPUT_PNG: look before you train.

    CAPS_DIRECTORY holds the images, and PREPROCESSING_JSON says how they were prepared (its path,
    or its name in the CAPS). A row is a session: its image in three planes with the parts
    outlined, one part as the network gets it, and that part augmented.
    """
    from clinicadl.config.read import experiment, settings, to_toml
    from clinicadl.report.preview import plan, write

    nested = given(flags)
    if config_file is not None:
        nested |= _from_file(experiment, nested, config_file)
    planned = plan(settings(PreviewConfig, nested))
    if not dry_run:
        click.echo(f"picture: {write(planned)}")
        return
    click.echo(to_toml(planned.config))
    for path in planned.reads:
        click.echo(f"# would read:  {path}")
    click.echo(f"# would write: {planned.config.output_png}")


def _from_file(experiment: Any, nested: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the sections of an experiment that a preview needs."""
    names = ("transforms", "reproducibility")
    # A preview needs no folder of splits, and an experiment cannot be without.
    data = {name: nested[name] for name in ("caps_directory", "preprocessing_json")}
    said = {name: nested[name] for name in names if name in nested}
    read = experiment({"data": {**data, "tsv_directory": "."}, **said}, file=file)
    return {name: getattr(read, name) for name in names}
