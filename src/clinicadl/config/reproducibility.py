"""What makes a run repeatable."""

from __future__ import annotations

from clinicadl.config.base import Section, setting


class ReproducibilityConfig(Section):
    """The one seed."""

    seed: int = setting(
        0,
        "Seed of everything that is drawn: order, first weights, dropout, intervals",
        ge=0,
        lt=2**32,
    )
