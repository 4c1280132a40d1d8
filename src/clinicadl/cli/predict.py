"""``clinicadl predict``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.predict import PredictConfig

if TYPE_CHECKING:
    from clinicadl.engine.predict import PredictPlan


@click.command("predict", cls=Command)
@click.argument("input_maps_directory", type=click.Path(path_type=Path))
@click.argument("data_group")
@click.option("--dry-run", is_flag=True, help="Say what would be evaluated, and write nothing.")
@options_of(PredictConfig)
def command(input_maps_directory: Path, data_group: str, dry_run: bool, **flags: Any) -> None:
    """Evaluate the trained models of a MAPS on a data group that they have never seen.

    A new DATA_GROUP needs --caps_directory and --participants_tsv, or an --image; it is then known
    by its name. The leakage guard comes first: participants that the models have seen are refused.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.engine.predict import ready, run

    planned = ready(settings(PredictConfig, given(flags)), input_maps_directory, data_group)
    folders = _writes(planned)
    if dry_run:
        for line in _preview(planned):
            click.echo(line)
        for folder in folders:
            click.echo(f"would write: {folder}")
        return
    for _ in progress(run(planned), total=len(planned.todo), what=f"predict {data_group}"):
        pass
    for folder in folders:
        click.echo(f"results: {folder}" if planned.look.models else f"sealed: {folder}")
    for line in (*_said(planned), *_crowd(planned)):
        click.echo(line)


def _writes(planned: PredictPlan) -> list[Path]:
    from clinicadl.layouts.maps import names

    maps, name = planned.look.maps.path, planned.look.name
    if not planned.look.models:
        return [names.group(maps, name)]
    together = [names.results(maps, None, metric, name) for metric in planned.ensembles]
    return [*(names.results(maps, *model, name) for model in planned.todo), *together]


def _preview(planned: PredictPlan) -> Iterator[str]:
    look = planned.look
    yield f"{len(look.group.table)} sessions, seen by none of the models"
    if look.purpose == "seal":
        yield f"would seal: {look.name}; nothing looks at it"
    if look.purpose == "unseal":
        yield f"would unseal: {look.name}, for this one evaluation"


def _said(planned: PredictPlan) -> Iterator[str]:
    """Yield what was said of a session whose images are in no CAPS."""
    from clinicadl.engine.predict import sentences
    from clinicadl.layouts.maps import folder

    if planned.look.models and folder.images_of(planned.look.group):
        yield "no label is known, so there is nothing to compare with"
        yield from sentences(planned)


def _crowd(planned: PredictPlan) -> Iterator[str]:
    """Yield whom pulled models have seen, as far as it is told."""
    from clinicadl.engine.pulled import crowd

    if planned.look.models:
        yield from crowd(planned.look.maps, planned.verdict)
