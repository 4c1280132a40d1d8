"""``clinicadl hugging-face``: the names that releases 1.x have for ``clinicadl hub``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, options_of
from clinicadl.config.hub import PushConfig
from clinicadl.errors import UsageError

group = LazyGroup(
    "hugging-face",
    {
        "push": Row("clinicadl.cli.hugging_face:push", "Share a MAPS on the Hugging Face hub."),
        "pull": Row("clinicadl.cli.hugging_face:pull", "Take a MAPS from the Hugging Face hub."),
    },
    help="The names of releases 1.x for hub push and hub pull on the Hugging Face hub.",
)


@click.command("push", cls=Command)
@click.argument("organization")
@click.argument("maps_directory", type=click.Path(path_type=Path))
@click.argument("hf_maps_directory")
@options_of(PushConfig)
@click.pass_context
def push(
    ctx: click.Context,
    /,
    organization: str,
    maps_directory: Path,
    hf_maps_directory: str,
    **flags: Any,
) -> None:
    """Share the models of MAPS_DIRECTORY as ORGANIZATION/HF_MAPS_DIRECTORY.

    The same as: hub push MAPS_DIRECTORY hf:ORGANIZATION/HF_MAPS_DIRECTORY
    """
    from clinicadl.cli.hub import push as share

    target = f"hf:{organization}/{hf_maps_directory}"
    ctx.invoke(share, maps_directory=maps_directory, target=target, dry_run=False, **flags)


@click.command("pull", cls=Command)
@click.argument("hf_hub_path")
@click.argument("names", nargs=-1, required=True, metavar="[MAPS_NAME] OUTPUT_MAPS_DIRECTORY")
@click.pass_context
def pull(ctx: click.Context, hf_hub_path: str, names: tuple[str, ...]) -> None:
    """Take the models of HF_HUB_PATH/MAPS_NAME (default: maps) as a new MAPS.

    The same as: hub pull hf:HF_HUB_PATH/MAPS_NAME OUTPUT_MAPS_DIRECTORY
    """
    from clinicadl.cli.hub import pull as take

    *named, output = names
    ctx.invoke(take, source=_source(hf_hub_path, named), maps_directory=Path(output))


def _source(owner: str, named: Sequence[str]) -> str:
    """Return the repository that the words in front of the folder name.

    Raises
    ------
    UsageError
        They are more than one name.
    """
    if len(named) > 1:
        raise UsageError(
            "There are too many arguments", found=" ".join(named),
            fix="Give HF_HUB_PATH, the name of the MAPS if it is not maps, and the folder to be",
        )  # fmt: skip
    return f"hf:{owner}/{named[0] if named else 'maps'}"
