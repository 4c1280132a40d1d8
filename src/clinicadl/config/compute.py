"""On what a run computes; nothing here may change what is learnt beyond rounding."""

from __future__ import annotations

from typing import Literal

from clinicadl.config.base import Section, setting


class ComputeConfig(Section):
    """Device, workers and memory."""

    gpu: bool | None = setting(None, "Compute on a GPU (default: where there is one)")
    n_proc: int | None = setting(
        None, "Processes that read samples ahead (default: 2 for a GPU, else 0)", short="np", ge=0
    )
    memory: Literal["fast", "lean"] = setting(
        "fast", "Keep freed memory for the next step, or give it back at the cost of speed (CPU)"
    )
