"""``clinicadl quality-check``: are the images sound, and well registered?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.quality_raw import RawQualityConfig

if TYPE_CHECKING:
    from clinicadl.quality.raw import Plan, Verdict

group = LazyGroup(
    "quality-check",
    {
        "raw": Row("clinicadl.cli.quality_check:raw", "Raw images, before anything is made."),
        "t1-linear": Row(
            "clinicadl.cli.quality_t1_linear:command", "T1-weighted images on their template."
        ),
    },
    help="Say which images are sound and well registered, so that the others can be left out.",
)

_MOST_NAMED = 3

_dry_run = click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip


@click.command("raw", cls=Command)
@_dry_run
@options_of(RawQualityConfig, arguments=("bids_directory", "output_tsv"))
def raw(dry_run: bool, **flags: Any) -> None:
    """Check the raw images of BIDS_DIRECTORY, and write which sessions pass to OUTPUT_TSV.

    Files that cannot be read, headers that contradict themselves, voxels that show nothing, and
    images that are copies of others are found. `tsvtools get-labels --qc OUTPUT_TSV` leaves out the
    sessions that fail.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.quality.raw import judged, look, plan, write

    planned = plan(settings(RawQualityConfig, given(flags)))
    if dry_run:
        _show(planned)
        return
    steps = progress(look(planned), total=len(planned.files), what="quality-check raw")
    verdict = judged(planned, tuple(steps))
    try:
        write(planned, verdict)
    finally:
        _say_raw(planned, verdict)


def _show(planned: Plan) -> None:
    from clinicadl.config.read import to_toml

    click.echo(to_toml(planned.config))
    for file in planned.files:
        click.echo(f"# would read:  {file.path}")
    for path in planned.outputs:
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
