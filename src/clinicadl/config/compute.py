"""On what a run computes; nothing here may change what is learnt beyond rounding."""

from __future__ import annotations

from typing import Literal

from clinicadl.config.base import Section, setting

Amp = Literal["no", "bf16", "fp16"]


class ComputeConfig(Section):
    """Device, workers and memory."""

    gpu: bool | None = setting(None, "Compute on a GPU (default: where there is one)")
    n_proc: int | None = setting(
        None, "Processes that read samples ahead (default: 2 for a GPU, else 0)", short="np", ge=0
    )
    amp: Amp = setting(
        "no",
        "Compute in half precision what bears it: with bf16, or with fp16 and scaled losses (GPU)",
    )
    compile: bool = setting(
        False, "Let torch translate the network into code of its own (needs a C++ compiler)"
    )
    profiler: bool = setting(
        False, "Record where the time of the first 30 batches of each split goes"
    )
    memory: Literal["fast", "lean"] = setting(
        "fast", "Keep freed memory for the next step, or give it back at the cost of speed (CPU)"
    )
