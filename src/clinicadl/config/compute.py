"""On what a run computes; nothing here may change what is learnt beyond rounding."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from clinicadl.config.base import Section, setting

Amp = Literal["no", "bf16", "fp16"]
Strategy = Literal["ddp", "fsdp"]


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
    strategy: Strategy = setting(
        "ddp",
        "What each of several processes that train together holds: all weights, or its share of "
        "them, of their gradients and of what the optimizer keeps (fsdp)",
    )
    channels_last: bool | None = setting(
        None, "Lay volumes out with their channels last (default: on a CPU, where it is faster)"
    )
    activation_checkpointing: bool = setting(
        False, "Compute the blocks of the network again for the backward pass, to save memory"
    )
    memory: Literal["fast", "lean"] = setting(
        "fast", "Keep freed memory for the next step, or give it back at the cost of speed (CPU)"
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ComputeConfig:
        if self.compile and self.strategy == "fsdp":
            raise ValueError("compile needs all weights in each process: it does not go with fsdp")
        if self.compile and self.activation_checkpointing:
            raise ValueError(
                "compile chooses by itself what is computed again, which activation_checkpointing "
                "does: choose one"
            )
        return self
