"""``clinicadl prepare-data``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from clinicadl.cli.in_jobs import show, submit
from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.base import Choice, from_table
from clinicadl.config.mode import MODES, MODES_GROUP
from clinicadl.config.prepare import PrepareConfig, Preparing
from clinicadl.config.preprocessing import PREPROCESSINGS

if TYPE_CHECKING:
    from clinicadl.data.prepare import PreparePlan

_ROWS: dict[str, type[Choice]] = from_table(MODES, MODES_GROUP).all_rows()

group = LazyGroup(
    "prepare-data",
    {
        name: Row(f"clinicadl.cli.prepare_data:{name}", (row.__doc__ or name).partition("\n")[0])
        for name, row in _ROWS.items()
    }
    | {"preview": Row("clinicadl.cli.preview:preview", "A picture of a few samples.")},
    help="Turn the images of a CAPS into tensors, once.",
)

_HELP = f"""\
Write one tensor for each image of CAPS_DIRECTORY, and the JSON that describes them.

MODALITY is the preprocessing whose images are taken: {", ".join(PREPROCESSINGS)}. Of pet-linear,
--tracer and --suvr-reference-region must be given, of custom --custom-suffix.
"""
_ALWAYS_HELP = """
An interrupted run goes on where it stopped; tensors that are there and still belong to their images
are left alone. Images that cannot be used are listed, and the others go on.
"""
_PARTS_HELP = """
Parts are cut from the tensor of the image when the network asks for them. --save-features stores a
tensor for each part instead.
"""
_OF_MODES = {"-ds"}
"""Short forms that a mode and another setting have, as published; they belong to the mode."""
_PUBLISHED_UNCROPPED = "--roi-uncrop-output"
"""What release 1.6 calls ``--uncropped-roi``."""


def __getattr__(name: str) -> click.Command:
    """Return the command of a mode, whoever declared the mode.

    Raises
    ------
    AttributeError
        There is no such mode.
    """
    if name not in _ROWS:
        raise AttributeError(name)
    return mode_command(name, PrepareConfig, _prepare, help=_HELP)


def mode_command(
    name: str, model: type[Preparing], prepare: Callable[..., None], *, help: str
) -> click.Command:
    """Return the command that prepares images in one mode.

    Parameters
    ----------
    name
        The mode.
    model
        The configuration.
    prepare
        Called with what was said, nested as the configuration is, and ``dry_run``.
    help
        What the command does, in front of what all do.
    """
    whole = ("save_features",) if name == "image" else ()
    said = help + _ALWAYS_HELP + ("" if whole else _PARTS_HELP)

    @click.command(name, cls=Command, help=said)
    @click.option(
        "--dry-run", is_flag=True,
        help="Print the settings and what would be read and written; write nothing.",
    )  # fmt: skip
    @options_of(
        model,
        arguments=model.arguments[1:],
        without=("mode", "grid", *whole),
        rows={"mode": name},
    )
    def command(dry_run: bool, **flags: Any) -> None:
        nested = given(flags)
        nested["mode"] = {"name": name, **nested.get("mode", {})}
        prepare(nested, dry_run=dry_run)

    own = {flag for param in command.params if _is_of_mode(param) for flag in param.opts}
    for param in command.params:
        if param.name == "mode__uncropped_roi":
            param.opts.append(_PUBLISHED_UNCROPPED)
        elif not _is_of_mode(param):
            # A short form that two settings have belongs to the mode: -ds of slices.
            param.opts = [flag for flag in param.opts if flag not in own & _OF_MODES]
    return command


def _is_of_mode(param: click.Parameter) -> bool:
    return str(param.name).startswith("mode__")


def _prepare(given_settings: dict[str, Any], *, dry_run: bool) -> None:
    from clinicadl.config.read import settings
    from clinicadl.data.prepare import plan

    complete(plan(settings(PrepareConfig, given_settings)), dry_run=dry_run)


def complete(planned: PreparePlan, *, dry_run: bool) -> None:
    """Carry a plan out, here or in jobs, or show it."""
    if dry_run:
        _show(planned)
        return
    if planned.config.jobs.submit is not None:
        submit(planned.config, planned.extraction, len(planned.jobs), partial(_say, planned))
        return
    run_planned(planned)


def run_planned(planned: PreparePlan) -> None:
    """Make the tensors of a plan, showing how far it is."""
    from contextlib import closing

    from clinicadl.cli.console import progress
    from clinicadl.data.prepare import run

    n_written = n_kept = 0
    try:
        with closing(run(planned)) as outcomes:
            for outcome in progress(outcomes, total=len(planned.jobs), what=planned.config.command):
                if outcome.error is not None:
                    click.echo(f"skipped: {outcome.error}", err=True)
                elif outcome.result is not None:
                    n_written += outcome.result.n_written
                    n_kept += outcome.result.n_kept
    finally:
        click.echo(f"{n_written} tensors written, {n_kept} were there already")
        _say(planned)


def _say(planned: PreparePlan) -> None:
    if planned.extraction.exists():
        click.echo(f"extraction JSON: {planned.extraction}")


def _show(planned: PreparePlan) -> None:
    from clinicadl.config.read import to_toml
    from clinicadl.data.prepare import is_prepared

    click.echo(to_toml(planned.config))
    for job in planned.jobs:
        first, *others = planned.tensors_of(job) or [job.target.origin]
        what = f"{first} and {len(others)} more, to {others[-1].name}" if others else first
        if is_prepared(job):
            click.echo(f"# there already: {what}")
        else:
            click.echo(f"# would read:  {job.image.path}")
            click.echo(f"# would write: {what}")
    there = " (there already)" if planned.extraction.exists() else ""
    click.echo(f"# would write: {planned.extraction}{there}")
    show(planned.config)
