"""``clinicadl generate``: CAPS whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.generate import (
    ArtifactsConfig,
    AtrophyConfig,
    HypometabolicConfig,
    RandomConfig,
    SheppLoganConfig,
    TrivialConfig,
)

if TYPE_CHECKING:
    from clinicadl.synthesis.generated import Plan

group = LazyGroup(
    "generate",
    {
        "trivial": Row(
            "clinicadl.cli.generate:trivial", "Darken half of the brain: anything must learn it."
        ),
        "random": Row(
            "clinicadl.cli.generate:random", "One image and fresh noise: nothing can learn it."
        ),
        "shepplogan": Row(
            "clinicadl.cli.generate:shepplogan", "Phantoms of three subtypes, in two dimensions."
        ),
        "artifacts": Row(
            "clinicadl.cli.generate:artifacts", "Motion, noise, ...: what goes wrong in a scanner."
        ),
        "hypometabolic": Row(
            "clinicadl.cli.generate:hypometabolic", "Uptake lowered as a dementia lowers it."
        ),
        "atrophy": Row(
            "clinicadl.cli.generate:atrophy", "Regions that shrink or grow by a known volume."
        ),
    },
    help="Make a CAPS whose truth is known, to see what a training can find.",
)

_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print the settings and what would be written; write nothing."
)


@click.command("trivial", cls=Command)
@_dry_run
@options_of(TrivialConfig, arguments=("caps_directory", "generated_caps_directory"))
def trivial(dry_run: bool, **flags: Any) -> None:
    """Make two labels that differ in which half of the brain is darkened.

    Each of the first participants of CAPS_DIRECTORY gives one AD image (left half, or mask-1) and
    one CN image (right half, or mask-2). GENERATED_CAPS_DIRECTORY gets them, and in masks/ the
    voxels that were darkened in each.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.trivial import plan

    _make(plan(settings(TrivialConfig, given(flags))), dry_run=dry_run)


@click.command("random", cls=Command)
@_dry_run
@options_of(RandomConfig, arguments=("caps_directory", "generated_caps_directory"))
def random(dry_run: bool, **flags: Any) -> None:
    """Make two labels that differ in nothing but chance.

    Every image of GENERATED_CAPS_DIRECTORY is the first one of CAPS_DIRECTORY (or of the table) and
    fresh normal noise in each voxel. A model that does better than chance on them has leaked.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.noise import plan

    _make(plan(settings(RandomConfig, given(flags))), dry_run=dry_run)


@click.command("shepplogan", cls=Command)
@_dry_run
@options_of(SheppLoganConfig, arguments=("generated_caps_directory",))
def shepplogan(dry_run: bool, **flags: Any) -> None:
    """Make two-dimensional phantoms of three subtypes, shared differently by AD and CN.

    Regions at the bottom are small in subtype 1, a region at the top in subtype 2, none in subtype
    0. GENERATED_CAPS_DIRECTORY gets images, slice tensors and their extraction JSON.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.shepplogan import plan

    _make(plan(settings(SheppLoganConfig, given(flags))), dry_run=dry_run)


@click.command("artifacts", cls=Command)
@_dry_run
@options_of(ArtifactsConfig, arguments=("caps_directory", "generated_caps_directory"))
def artifacts(dry_run: bool, **flags: Any) -> None:
    """Give images the artefacts of a scanner: --motion, --noise, ...

    Every session of CAPS_DIRECTORY (or of the table) gives one image of the same name in
    GENERATED_CAPS_DIRECTORY, and beside it a JSON file with all numbers that were drawn. With
    --share 0.5, half of the participants are copied instead, to train on both.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.artifacts import plan

    _make(plan(settings(ArtifactsConfig, given(flags))), dry_run=dry_run)


@click.command("hypometabolic", cls=Command)
@_dry_run
@options_of(
    HypometabolicConfig,
    arguments=("caps_directory", "generated_caps_directory"),
    defaults={"tracer": "18FFDG", "suvr_reference_region": "cerebellumPons2"},
)
def hypometabolic(dry_run: bool, **flags: Any) -> None:
    """Lower the uptake where a kind of dementia lowers it.

    The first session of each of the first participants of CAPS_DIRECTORY gives one image in
    GENERATED_CAPS_DIRECTORY, times 1 outside of the mask and 1 - degree inside, with a smooth
    edge. Masks and factors are written beside the images.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.hypometabolic import plan

    _make(plan(settings(HypometabolicConfig, given(flags))), dry_run=dry_run)


@click.command("atrophy", cls=Command)
@_dry_run
@options_of(AtrophyConfig, arguments=("caps_directory", "generated_caps_directory"))
def atrophy(dry_run: bool, **flags: Any) -> None:
    """Let regions shrink, or grow, by a known share of their volume.

    Every session of CAPS_DIRECTORY (or of the table) gives one image of the same name in
    GENERATED_CAPS_DIRECTORY, deformed by a smooth field without folds. The field, its Jacobian
    determinant and the region are written beside the images.
    """
    from clinicadl.config.read import settings
    from clinicadl.synthesis.atrophy import plan

    _make(plan(settings(AtrophyConfig, given(flags))), dry_run=dry_run)


def _make(planned: Plan, *, dry_run: bool) -> None:
    from clinicadl.cli.console import progress
    from clinicadl.config.read import to_toml
    from clinicadl.synthesis.generated import complete

    if dry_run:
        click.echo(to_toml(planned.config))
        click.echo(f"# would write: {planned.config.generated_caps_directory}")
        for image in planned.images:
            click.echo(f"#   {image.path} ({image.facts[planned.label]})")
        return
    what, total = f"generate {planned.kind}", len(planned.jobs)
    folder = complete(planned, shown=lambda steps: progress(steps, total=total, what=what))
    click.echo(f"CAPS: {folder}")
