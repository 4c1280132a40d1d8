"""Several processes that train one network together, each with its share of every batch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from clinicadl.config.launch import place
from clinicadl.errors import UsageError

T = TypeVar("T")

_PORT = 29_500


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is; all methods but `share` wait for all of them."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what all of them found."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return those of some items that this process takes."""
        return items[self.rank :: self.world]

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Let the gradient of each weight be the sum over all processes."""
        if self.world == 1:
            return
        learning = [weight for weight in weights if weight.requires_grad]
        for weight in learning:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        grads = [weight.grad for weight in learning if weight.grad is not None]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        distributed.all_reduce(flat)
        pieces = flat.split_with_sizes([weight.numel() for weight in learning])
        for weight, piece in zip(learning, pieces, strict=True):
            weight.grad = piece.view(weight.shape)

    def even_out(self, buffers: Iterable[Tensor]) -> None:
        """Let each buffer, which normalizations counted, be the mean over all processes.

        Whole numbers are the same everywhere and stay.
        """
        if self.world == 1:
            return
        for buffer in buffers:
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= self.world

    def gathered(self, found: T) -> list[T]:
        """Return what each process found, in the order of their ranks."""
        if self.world == 1:
            return [found]
        every: list[Any] = [None] * self.world
        distributed.all_gather_object(every, found)
        return every

    def as_the_first(self, choice: bool) -> bool:
        """Return what the first process chose, of what the clock of each would choose for itself.

        Without this, some would begin what others leave.
        """
        return self.gathered(choice)[0]

    def wait(self) -> None:
        """Go on when all are here."""
        if self.world > 1:
            distributed.barrier()

    def part(self) -> None:
        """Take leave of the others once all have done their work."""
        if self.world > 1:
            distributed.barrier()
            distributed.destroy_process_group()


ALONE = Ranks()


def join(*, on_gpu: bool) -> Ranks:
    """Return the place of this process among those that torchrun or srun started.

    They find each other the first time that this is asked.

    Parameters
    ----------
    on_gpu
        Whether they compute on GPUs, one a process.

    Raises
    ------
    UsageError
        The launcher did not say where they meet.
    """
    found = Ranks(*place(os.environ))
    if found.world > 1 and not distributed.is_initialized():
        if "MASTER_ADDR" not in os.environ:
            os.environ["MASTER_ADDR"] = _first_host(os.environ)
            os.environ.setdefault("MASTER_PORT", str(_PORT))
        if on_gpu:
            local = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
            torch.cuda.set_device(int(local))
        backend = "nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, rank=found.rank, world_size=found.world)
    return found


def _first_host(environment: Mapping[str, str]) -> str:
    """Return the first machine of a step of Slurm.

    Raises
    ------
    UsageError
        Nobody says which it is.
    """
    # Slurm writes them as node[01-03,07],other.
    found = re.match(r"([^,\[\s]+)(?:\[(\w+))?", environment.get("SLURM_STEP_NODELIST", ""))
    if found is None:
        raise UsageError(
            "The processes do not know where they meet", where="MASTER_ADDR",
            fix="Start them by torchrun or srun, or set MASTER_ADDR and MASTER_PORT",
        )  # fmt: skip
    return found[1] + (found[2] or "")
