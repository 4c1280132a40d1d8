"""``clinicadl prepare-data-from-bids``."""

from __future__ import annotations

from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.prepare_data import complete, mode_command
from clinicadl.config.base import from_table
from clinicadl.config.mode import MODES, MODES_GROUP
from clinicadl.config.prepare import PrepareFromBidsConfig
from clinicadl.config.raw import RAW

_ROWS = from_table(MODES, MODES_GROUP).all_rows()

group = LazyGroup(
    "prepare-data-from-bids",
    {
        name: Row(
            f"clinicadl.cli.prepare_from_bids:{name}", (row.__doc__ or name).partition("\n")[0]
        )
        for name, row in _ROWS.items()
    },
    help="Turn the raw images of a BIDS data set into tensors in a CAPS, once.",
)

_HELP = f"""\
Write one tensor for each raw image of BIDS_DIRECTORY into CAPS_DIRECTORY, and the JSON that
describes them.

MODALITY is the kind of images that are taken: {", ".join(RAW)}. Of custom, --custom-suffix must be
given.

Images stay on their own grids unless one is stated: by --voxel-size and --grid-size around the
centre of each image, or by --like at the place of an image.
"""


def __getattr__(name: str) -> click.Command:
    """Return the command of a mode, whoever declared the mode.

    Raises
    ------
    AttributeError
        There is no such mode.
    """
    if name not in _ROWS:
        raise AttributeError(name)
    return mode_command(name, PrepareFromBidsConfig, _prepare, help=_HELP)


def _prepare(given_settings: dict[str, Any], *, dry_run: bool) -> None:
    from clinicadl.config.read import settings
    from clinicadl.data.from_bids import plan

    complete(plan(settings(PrepareFromBidsConfig, given_settings)), dry_run=dry_run)
