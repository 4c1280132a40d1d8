"""Which data groups are sealed, and which were unsealed or looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.layouts.maps import folder, ledger, published

_SEALED = "sealed"


class State(NamedTuple):
    """What became of a data group."""

    name: str
    table: pd.DataFrame
    is_sealed: bool
    """Whether it was defined to be looked at once."""
    unsealed: str
    """When that was; empty before."""
    n_looks: int


def sealed(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the origin of a data group that is to be sealed.

    Its definition says so, and not the ledger alone: who loses the ledger unseals nothing.
    """
    return {**origin, _SEALED: True}


def states(maps: Path) -> list[State]:
    """Return what became of each data group of users, in the order of their names."""
    events = ledger.read(maps)
    found = []
    for name in published.groups(maps):
        group = folder.read_group(maps, name)
        own = events[events["group"] == name]
        unsealed = own.loc[own["event"] == ledger.UNSEAL, "date"]
        found.append(
            State(
                name,
                group.table,
                bool(group.origin.get(_SEALED)),
                str(unsealed.iloc[-1]) if len(unsealed) else "",
                int(own["event"].isin([ledger.LOOK, ledger.INTERPRETATION]).sum()),
            )
        )
    return found
