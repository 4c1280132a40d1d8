"""Which of several processes this one is, as the launcher says in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """A process among those that torchrun or srun started."""

    rank: int = 0
    world: int = 1


def place(environment: Mapping[str, str]) -> Place:
    """Return the rank and their number, as torchrun says or else srun."""
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in environment and world in environment:
            is_step = world == "WORLD_SIZE" or "SLURM_STEP_ID" in environment
            return Place(int(environment[rank]), int(environment[world])) if is_step else Place()
    return Place()
