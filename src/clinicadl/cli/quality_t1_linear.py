"""``clinicadl quality-check t1-linear``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.cli.quality_check import dry_run_flag, show
from clinicadl.config.quality import T1LinearQualityConfig

if TYPE_CHECKING:
    from clinicadl.quality.linear import Plan, Step

_MOST_NAMED = 10


@click.command("t1-linear", cls=Command)
@dry_run_flag
@options_of(T1LinearQualityConfig, arguments=("caps_directory", "output_tsv"))
def command(dry_run: bool, **flags: Any) -> None:
    """Say which images of CAPS_DIRECTORY lie on their template, and write it to OUTPUT_TSV.

    Each image is compared with the brain of MNI152, of which nothing has to be learnt or fetched;
    or one of the published networks looks at it, whose --weights must be there. OUTPUT_TSV must end
    in .tsv; it gets the probability that each image is well registered, the best first.
    """
    from clinicadl.cli.console import progress
    from clinicadl.config.read import settings
    from clinicadl.quality.linear import plan, run, write

    planned = plan(settings(T1LinearQualityConfig, given(flags)))
    if dry_run:
        show(planned.config, [job.path for job in planned.jobs], planned.config.outputs)
        return
    name = f"quality-check t1-linear ({planned.config.judge})"
    steps = list(progress(run(planned), total=len(planned.jobs), what=name))
    try:
        write(planned, steps)
    finally:
        _say(planned, steps)


def _say(planned: Plan, steps: list[Step]) -> None:
    from clinicadl.quality.linear import is_passed
    from clinicadl.quality.registration import reason

    config = planned.config
    judged = [(one.job, one.result) for one in steps if one.result is not None]
    below = sorted(
        ((job, one) for job, one in judged if not is_passed(config, one)),
        key=lambda pair: pair[1].probability,
    )
    click.echo(f"{len(judged) - len(below)} of {len(judged)} images pass: {config.output_tsv}")
    for job, one in below[:_MOST_NAMED]:
        why = f": {reason(one.measures)}" if one.measures is not None else ""
        click.echo(f"  {' | '.join(job.session)}  {one.probability:.3f}{why}")
    if len(below) > _MOST_NAMED:
        click.echo(f"  and {len(below) - _MOST_NAMED} more")
