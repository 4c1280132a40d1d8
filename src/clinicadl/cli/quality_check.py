"""``clinicadl quality-check``: which images are sound, and well registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.quality_caps import PetQualityConfig, VolumeQualityConfig
from clinicadl.config.quality_raw import RawQualityConfig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clinicadl.config.base import Section
    from clinicadl.quality.raw import Plan, Verdict
    from clinicadl.quality.stored import Written

group = LazyGroup(
    "quality-check",
    {
        "raw": Row("clinicadl.cli.quality_check:raw", "Raw images, before anything is made."),
        "t1-linear": Row(
            "clinicadl.cli.quality_t1_linear:command", "T1-weighted images on their template."
        ),
        "t1-volume": Row("clinicadl.cli.quality_check:t1_volume", "Grey matter maps of t1-volume."),
        "pet-linear": Row("clinicadl.cli.quality_check:pet_linear", "Images of pet-linear."),
    },
    help="Say which images are sound and well registered, so that the others can be left out.",
)

_MOST_NAMED = 3

dry_run_flag = click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip


@click.command("raw", cls=Command)
@dry_run_flag
@options_of(RawQualityConfig, arguments=("bids_directory", "output_tsv"))
def raw(dry_run: bool, **flags: Any) -> None:
    """Check the raw images of BIDS_DIRECTORY, and write which sessions pass to OUTPUT_TSV.

    Files that cannot be read, headers that contradict themselves, voxels that show nothing, and
    images that are copies of others are found. `tsvtools get-labels --qc OUTPUT_TSV` leaves out the
    sessions that fail.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.quality import raw_page
    from clinicadl.quality.raw import judged, look, plan, refuse_unseen, write

    planned = plan(settings(RawQualityConfig, given(flags)))
    if dry_run:
        show(planned.config, [one.path for one in planned.files], planned.written)
        return
    steps = progress(look(planned), total=len(planned.files), what="quality-check raw")
    verdict = judged(planned, steps)
    write(planned, verdict)
    _say_raw(planned, verdict)
    if planned.config.page is not None:
        pictures = list(raw_page.draw(planned, verdict))
        raw_page.write(planned.config.page, planned, verdict, pictures)
        click.echo(f"page: {planned.config.page}")
    refuse_unseen(planned, verdict)


@click.command("t1-volume", cls=Command)
@dry_run_flag
@options_of(VolumeQualityConfig, arguments=("caps_directory", "output_directory", "group_label"))
def t1_volume(dry_run: bool, **flags: Any) -> None:
    """Check the grey matter maps of CAPS_DIRECTORY against the template of GROUP_LABEL.

    OUTPUT_DIRECTORY gets QC_metrics.tsv, and the maps that pass: pass_step-1.tsv those with a
    maximum above 0.95, pass_step-2.tsv those of them with 15 to 50 % of the voxels not 0,
    pass_step-3.tsv those of them that look like the template where the eyes are (--eyes-mask).
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.quality.volume import METRICS, look, plan, write

    planned = plan(settings(VolumeQualityConfig, given(flags)))
    if dry_run:
        show(planned.config, [job.image.path for job in planned.jobs], planned.outputs)
        return
    said = "left out: it needs --eyes-mask" if planned.mask is None else planned.mask.said
    click.echo(f"third step: {said}")
    n = len(planned.jobs)
    steps = progress(look(planned), total=n, what="quality-check t1-volume")
    output = planned.config.output_directory / METRICS
    _finish(write(planned, steps), output, n)


@click.command("pet-linear", cls=Command)
@dry_run_flag
@options_of(
    PetQualityConfig,
    arguments=("caps_directory", "output_tsv", "tracer", "suvr_reference_region"),
)
def pet_linear(dry_run: bool, **flags: Any) -> None:
    """Check that the images of pet-linear in CAPS_DIRECTORY have no signal around the brain.

    OUTPUT_TSV gets a probability for each image of TRACER and SUVR_REFERENCE_REGION, lowest first;
    those above --threshold pass.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.quality.pet import look, plan, write

    planned = plan(settings(PetQualityConfig, given(flags)))
    output = planned.config.output_tsv
    if dry_run:
        show(planned.config, [job.image.path for job in planned.jobs], [output])
        return
    click.echo(f"contour mask: {planned.mask.said}")
    n = len(planned.jobs)
    steps = progress(look(planned), total=n, what="quality-check pet-linear")
    _finish(write(planned, steps), output, n)


def _finish(written: Written, path: Path, n: int) -> None:
    from clinicadl.quality.stored import refuse_failed
    from clinicadl.tables.quality import PASSED

    click.echo(f"{int(written.table[PASSED].sum())} of {n} images pass: {path}")
    refuse_failed(written.failed, n)


def show(config: Section, read: Iterable[Path], written: Iterable[Path]) -> None:
    """Show the settings of a check, and what would be read and written, for ``--dry-run``."""
    from clinicadl.config.read import to_toml

    click.echo(to_toml(config))
    for path in read:
        click.echo(f"# would read:  {path}")
    for path in written:
        click.echo(f"# would write: {path}")


def _say_raw(planned: Plan, verdict: Verdict) -> None:
    from clinicadl.errors import listed

    sessions = {one.session for one in verdict.seen}
    failed = {one.seen.session for one in verdict.findings if one.severity == "error"}
    click.echo(f"{len(verdict.seen)} images checked, {verdict.n_failed} with an error")
    for name, check in planned.checks.items():
        named = [one.seen.file.path.name for one in verdict.findings if one.check == name]
        if named:
            names = list(dict.fromkeys(named))
            click.echo(
                f"  {check.severity} {name}: {len(names)} ({listed(names, most=_MOST_NAMED)}). "
                f"{check.advice}."
            )
    click.echo(f"{len(sessions - failed)} of {len(sessions)} sessions pass: {planned.outputs[0]}")
    if verdict.findings:
        click.echo(f"what was found: {planned.outputs[1]}")
