"""What makes a run repeatable."""

from __future__ import annotations

from typing import Literal

from clinicadl.config.base import Section, setting


class ReproducibilityConfig(Section):
    """The one seed, and how strictly bits are repeated."""

    seed: int = setting(
        0,
        "Seed of everything that is drawn: order, first weights, dropout, intervals",
        ge=0,
        lt=2**32,
    )
    deterministic: bool = setting(
        False,
        "Refuse operations that give other bits each time (GPU; on a CPU there are none here)",
        off="nondeterministic",
    )
    compensation: Literal["memory", "time"] = setting(
        "memory", "What deterministic matrix products on a GPU cost more of"
    )
