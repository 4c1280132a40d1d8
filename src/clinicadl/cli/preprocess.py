"""``clinicadl preprocess``: from the images of a BIDS data set to those of a CAPS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.in_jobs import show, submit
from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.preprocess import PreprocessLinearConfig, PreprocessPetConfig

if TYPE_CHECKING:
    from clinicadl.preprocess.plan import Plan

_SHORT = {
    "t1-linear": "T1-weighted images: bias field, affine to MNI, crop.",
    "flair-linear": "FLAIR images: bias field, affine to MNI, crop.",
    "t2-linear": "T2-weighted images: bias field, affine to MNI, crop.",
    "pet-linear": "PET: rigid to the T1-weighted image, by that to MNI, SUVR, crop.",
}

group = LazyGroup(
    "preprocess",
    {
        name: Row(f"clinicadl.cli.preprocess:{name.replace('-', '_')}", short)
        for name, short in _SHORT.items()
    },
    help="Register the images of a BIDS data set to MNI, in a CAPS.",
)

_HELP = """\
Register the {what} images of BIDS_DIRECTORY to MNI, and put them into CAPS_DIRECTORY.

Of each session: the bias field is taken away (N4), the brain found, one affine brings it onto the
brain of MNI152, and the image is resampled once to 193 x 229 x 193 voxels of 1 mm and cropped to
169 x 208 x 179. Image, crop, transform, sidecars and a picture are written, and a page that shows
all of them.

An interrupted run goes on where it stopped: sessions that are there are left alone. Images that
cannot be used are listed, and the others go on. The same image gives the same bits. Needs the extra
preproc.
"""


def _linear(name: str, what: str) -> click.Command:
    @click.command(name, cls=Command, help=_HELP.format(what=what))
    @click.option(
        "--dry-run", is_flag=True,
        help="Print the settings and what would be read and written; write nothing.",
    )  # fmt: skip
    @options_of(
        PreprocessLinearConfig,
        arguments=("bids_directory", "caps_directory"),
        without=("pipeline",),
    )
    def command(dry_run: bool, **flags: Any) -> None:
        from clinicadl.config.read import settings
        from clinicadl.preprocess.linear import planned

        config = settings(PreprocessLinearConfig, {**given(flags), "pipeline": name})
        complete(planned(config), dry_run=dry_run)

    return command


t1_linear = _linear("t1-linear", "T1-weighted")
flair_linear = _linear("flair-linear", "FLAIR")
t2_linear = _linear("t2-linear", "T2-weighted")


@click.command("pet-linear", cls=Command)
@click.option(
    "--dry-run", is_flag=True,
    help="Print the settings and what would be read and written; write nothing.",
)  # fmt: skip
@options_of(
    PreprocessPetConfig,
    arguments=("bids_directory", "caps_directory", "tracer", "suvr_reference_region"),
    without=("pipeline",),
)
def pet_linear(dry_run: bool, **flags: Any) -> None:
    """Register the PET images of a tracer to MNI, relative to the mean of a region.

    Of each session of BIDS_DIRECTORY: PET is brought rigidly onto the T1-weighted image, whose
    transform to MNI is in CAPS_DIRECTORY (run t1-linear before); both together bring PET to 193 x
    229 x 193 voxels of 1 mm, interpolated once. It is divided by its mean over the mask of
    SUVR_REFERENCE_REGION and cropped to 169 x 208 x 179. Image, crop, transform, sidecars and a
    picture are written, and a page that shows all of them.

    An interrupted run goes on where it stopped; images that cannot be used are listed, and the
    others go on. The same images give the same bits. Needs the extra preproc.
    """
    from clinicadl.config.read import settings
    from clinicadl.preprocess.pet import planned

    complete(planned(settings(PreprocessPetConfig, given(flags))), dry_run=dry_run)


def complete(planned: Plan, *, dry_run: bool) -> None:
    """Carry a plan out, here or in jobs, or show it."""
    if dry_run:
        _show(planned)
    elif planned.config.jobs.submit is not None:
        submit(planned.config, planned.summary, len(planned.jobs), partial(_say, planned))
    else:
        _run(planned)


def _run(planned: Plan) -> None:
    from contextlib import closing

    from clinicadl.cli.console import progress
    from clinicadl.preprocess.plan import run

    n_written = n_kept = 0
    total, what = len(planned.jobs), f"preprocess {planned.config.pipeline}"
    try:
        with closing(run(planned)) as outcomes:
            for outcome in progress(outcomes, total=total, what=what):
                if outcome.error is not None:
                    click.echo(f"skipped: {outcome.error}", err=True)
                elif outcome.result is not None:
                    n_written += outcome.result.written
                    n_kept += not outcome.result.written
    finally:
        click.echo(f"{n_written} images written, {n_kept} were there already")
        _say(planned)


def _say(planned: Plan) -> None:
    if planned.page.exists():
        click.echo(f"page: {planned.page}")


def _show(planned: Plan) -> None:
    from clinicadl.config.read import to_toml
    from clinicadl.preprocess.plan import is_made

    click.echo(to_toml(planned.config))
    for job in planned.jobs:
        target = job.outputs.home / job.outputs.crop
        if is_made(job):
            click.echo(f"# there already: {target}")
        else:
            click.echo(f"# would read:  {job.image.path}")
            click.echo(f"# would write: {target} and what belongs to it")
    click.echo(f"# would write: {planned.page}")
    show(planned.config)
