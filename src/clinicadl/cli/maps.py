"""``clinicadl maps``: what is in a MAPS, what it rests on, and those of releases 1.x."""

from __future__ import annotations

from pathlib import Path

import click

from clinicadl.cli.lazy import LazyGroup, Row

group = LazyGroup(
    "maps",
    {
        "show": Row("clinicadl.cli.maps:show", "Say what is in a MAPS."),
        "cite": Row("clinicadl.cli.maps:cite_", "Say what to cite for what was used in a MAPS."),
        "import": Row("clinicadl.cli.maps:import_", "Read a MAPS of releases 1.x."),
    },
    help="Say what is in a MAPS; read those of releases 1.x.",
)


@click.command("show")
@click.argument("maps_directory", type=click.Path(path_type=Path))
def show(maps_directory: Path) -> None:
    """Say what is in a MAPS: experiment, splits, best models, data groups, and who looked.

    A MAPS of releases 1.x is shown as far as it can be read, and whether it can be imported.
    """
    from clinicadl.report.contents import show_maps

    click.echo(show_maps(maps_directory), nl=False)


@click.command("cite")
@click.argument("maps_directory", type=click.Path(path_type=Path), required=False)
@click.option("--bibtex", is_flag=True, help="Write entries for BibTeX.")
def cite_(maps_directory: Path | None, bibtex: bool) -> None:
    """Say what to cite for what was used in a MAPS; without one, everything that can be cited.

    Network, optimizer, preprocessing, intervals of metrics and interpretations are read from the
    MAPS. Data sets are not known to it. The same as clinicadl --cite [MAPS_DIRECTORY].
    """
    from clinicadl.report.citations import cite

    click.echo(cite(maps_directory, bibtex=bibtex), nl=False)


@click.command("import")
@click.argument("old_maps_directory", type=click.Path(path_type=Path))
@click.argument("new_maps_directory", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be read, and write nothing.")
def import_(old_maps_directory: Path, new_maps_directory: Path, dry_run: bool) -> None:
    """Read a MAPS that release 1.x wrote into a new one, which predicts as the old one did.

    Settings, data groups, weights, training logs and tables are read; the old MAPS is left as it
    is. Weights are read by a reader that cannot run code. Whoever the old models have seen stays
    refused in evaluations.
    """
    from clinicadl.engine.imports import ready, write

    planned = ready(old_maps_directory, new_maps_directory)
    if dry_run:
        for model in planned.models:
            click.echo(f"would read: {model.path}")
        for name, split in planned.groups:
            of_split = "" if split is None else f" of split {split}"
            click.echo(f"would read: data group {name}{of_split}")
        click.echo(f"would write: {new_maps_directory}")
        return
    write(planned)
    click.echo(f"MAPS: {new_maps_directory}")
