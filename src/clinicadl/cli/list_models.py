"""``clinicadl train list_models``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from clinicadl.cli.options import Command, Names, default_text
from clinicadl.config.architecture import Architecture
from clinicadl.config.base import Place, places
from clinicadl.config.network import architectures


@click.command("list-models", cls=Command)
@click.option(
    "-a", "--architecture", type=Names(list(architectures())),
    help="Show one network, with its settings and layers.",
)  # fmt: skip
@click.option(
    "-i", "--input-size", metavar="C@DxHxW",
    help="Input, as channels@sizes: C@HxW for slices (default: an example of each network).",
)  # fmt: skip
@click.option(
    "-m/-nm", "--model-layers/--no-model-layers", default=None,
    help="Whether to show the layers of --architecture (default: model-layers).",
)  # fmt: skip
def command(architecture: str | None, input_size: str | None, model_layers: bool | None) -> None:
    """List the networks that there are, or show one.

    Parameters are counted with two outputs, without taking memory for them.
    """
    from clinicadl.networks.listing import parse_input_size

    shape = None if input_size is None else parse_input_size(input_size)
    if architecture is None:
        _show_all(shape, model_layers)
    else:
        _show_one(architecture, shape, with_layers=model_layers is not False)


def _show_all(shape: tuple[int, ...] | None, model_layers: bool | None) -> None:
    """Print one line for each network.

    Raises
    ------
    UsageError
        Something was said about layers, which belong to one network.
    """
    from clinicadl.networks import listing

    if model_layers is not None:
        raise click.UsageError("--model-layers needs --architecture.")
    rows = [
        (
            one.name, ", ".join(one.tasks), one.dimension, one.takes,
            listing.shown_input_size(one.input_shape), _number(one.n_parameters), one.reference,
        )
        for one in listing.list_models(shape)
    ]  # fmt: skip
    _show(("name", "tasks", "dimension", "input", "e.g.", "parameters", "reference"), rows)


def _show_one(name: str, shape: tuple[int, ...] | None, *, with_layers: bool) -> None:
    from clinicadl.networks import listing

    row = architectures()[name]
    settings = listing.example_settings(row)
    model = listing.describe(settings, shape)
    click.echo(f"{name}: {row.__doc__}\n")
    size = listing.shown_input_size(model.input_shape)
    facts = [
        ("tasks", ", ".join(model.tasks)),
        ("dimension", model.dimension),
        ("input", model.takes),
        ("parameters", f"{_number(model.n_parameters)} at {size}, two outputs"),
        ("reference", model.reference),
    ]
    facts += [
        (place.path[-1], _meaning(place, settings))
        for place in places(row)
        if place.path != ("name",)
    ]
    _show((), facts)
    if with_layers:
        click.echo()
        rows = [
            (one.name, "x".join(map(str, one.output)), _number(one.n_parameters), one.kind)
            for one in listing.layers(settings, shape)
        ]
        _show(("layer", "output", "parameters", "kind"), rows)


def _meaning(place: Place, settings: Architecture) -> str:
    """Return what a setting means, with its default, or an example where it has none."""
    text = str(place.field.description)
    if place.field.is_required():
        return f"{text} (no default; here {settings.needed[place.path[-1]]})"
    shown = default_text(place)
    return f"{text} (default: {shown})" if shown else text


def _number(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose columns are as wide as they need to be."""
    lines = [heads, *rows] if heads else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
