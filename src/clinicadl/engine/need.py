"""How much memory a training needs, told before it begins."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.devices import Device
from clinicadl.engine.optimizers import n_kept
from clinicadl.errors import UsageError
from clinicadl.networks.recompute import Run, recomputed

BASE = 350 * 2**20
"""Bytes of the program itself: Python, torch and its libraries."""
_BYTES = 4
_BATCHES = 4
"""Batches that are on their way: read, put on the device, computed, let go."""
_CONTAINER = Path("/sys/fs/cgroup")
_KEPT = 1.5
"""What ``memory = fast`` takes more, for it keeps what was freed."""


@dataclass(frozen=True)
class Need:
    """Bytes that a training needs at its peak."""

    weights: int
    """With their gradients, what the optimizer keeps of them, and their average."""
    activations: int
    """What the forward pass of one batch leaves for the backward pass."""
    batches: int

    @property
    def total(self) -> int:
        """All together, and the program itself."""
        return self.weights + self.activations + self.batches + BASE


def need(
    config: ExperimentConfig,
    network: nn.Module,
    input_shape: Sequence[int],
    n_parts: int,
    device: Device,
) -> Need:
    """Return what training needs.

    Parameters
    ----------
    config
        The experiment.
    network
        On torch's meta device, where a forward pass costs nothing.
    input_shape
        Of one sample, channel first.
    n_parts
        Parts of an image: as many networks are trained together where each has its own. They
        compute one after the other.
    device
        Where they compute. What shares the weights holds them all for a while, to be judged; and a
        CPU's memory has the best ones of each metric until they are written.
    """
    settings = config.optimization
    every = [*network.parameters(), *network.buffers()]
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    copies = 1 if settings.averaging.every == "never" else 2
    of_weights = _BYTES * (
        copies * sum(one.numel() for one in every)
        + (1 + n_kept(settings)) * sum(one.numel() for one in learning)
    )
    whole = _BYTES * sum(one.numel() for one in every)
    if device.n_shards > 1:
        of_weights = of_weights // device.n_shards + whole
    if device.torch_device.type == "cpu":
        of_weights += len(config.task.selection_metrics) * whole
    batch = _BYTES * settings.batch_size * prod(input_shape)
    recomputes = config.compute.activation_checkpointing
    activations = _activations(network, settings.batch_size, input_shape, recomputes=recomputes)
    n_networks = n_parts if config.multi_network else 1
    return Need(n_networks * of_weights, activations, _BATCHES * batch)


def _activations(
    network: nn.Module, batch_size: int, input_shape: Sequence[int], *, recomputes: bool
) -> int:
    """Return the bytes that the backward pass of a batch needs, and the largest gradient in it."""
    saved: dict[int, Tensor] = {}
    of_blocks: list[list[int]] = []

    def block(run: Run, *arguments: Any) -> Any:
        for tensor in _tensors(arguments):
            saved[tensor.untyped_storage()._cdata] = tensor
        within: dict[int, Tensor] = {}
        with _kept(within):
            found = run(*arguments)
        of_blocks.append(_sizes(within, network))
        return found

    images = torch.empty(batch_size, *input_shape, device="meta")
    was_training = network.training
    with _kept(saved), recomputed(network, block) if recomputes else nullcontext():
        outputs = network.train()(images)
    network.train(was_training)
    del outputs
    sizes = _sizes(saved, network)
    of_one = max(map(sum, of_blocks), default=0)
    return sum(sizes) + of_one + 2 * max(max(some, default=0) for some in (sizes, *of_blocks))


def _kept(saved: dict[int, Tensor]) -> AbstractContextManager[None]:
    """Return what gathers all that the backward pass is left with, by its storage."""

    def keep(tensor: Tensor) -> Tensor:
        # Held until the end, so that no storage has the name of another.
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)


def _sizes(saved: Mapping[int, Tensor], network: nn.Module) -> list[int]:
    """Return the bytes of tensors that are no weights."""
    weights = {one.untyped_storage()._cdata for one in network.parameters()}
    return [one.untyped_storage().nbytes() for key, one in saved.items() if key not in weights]


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments, which may be sequences of sequences."""
    for one in arguments:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from _tensors(one)


def available(device: Device) -> int | None:
    """Return the bytes that are free where the network computes; None where nobody says."""
    if device.torch_device.type == "cuda":
        return int(torch.cuda.mem_get_info(device.torch_device)[0])
    if sys.platform != "linux":
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    free = [int(found[1]) * 1024] if found else []
    of_container = _left_to(_CONTAINER)
    return min([*free, *([] if of_container is None else [of_container])], default=None)


def _left_to(container: Path) -> int | None:
    """Return the bytes that a container may still take; None where it has no limit.

    What it holds of files is given back when memory is wanted.
    """
    paths = [container / f"memory.{name}" for name in ("max", "current", "stat")]
    if not all(path.is_file() for path in paths):
        return None
    most, now, stat = (path.read_text().strip() for path in paths)
    if not most.isdigit():
        return None
    of_files = sum(int(n) for n in re.findall(r"^(?:in)?active_file (\d+)$", stat, re.MULTILINE))
    return int(most) - int(now) + of_files


def check(needed: Need, config: ExperimentConfig, device: Device) -> str:
    """Return the memory setting that fits; refuse a training that cannot fit.

    Raises
    ------
    UsageError
        There is not as much memory.
    """
    free = available(device)
    if free is None:
        return config.compute.memory
    if needed.total > free:
        spare = free - needed.weights - BASE
        of_sample = (needed.activations + needed.batches) / config.optimization.batch_size
        fitting = int(spare // of_sample)
        raise UsageError(
            "The training does not fit into the memory", where="--batch_size",
            found=f"{in_gb(needed.total)} needed ({in_gb(needed.weights)} weights, "
            f"{in_gb(needed.activations)} activations), {in_gb(free)} free",
            fix=f"Give a --batch_size of {fitting} or less, with --accumulation_steps"
            if fitting > 0 else "Take a smaller network, smaller samples, or another machine",
        )  # fmt: skip
    on_cpu = device.torch_device.type == "cpu"
    return "lean" if on_cpu and _KEPT * needed.total > free else config.compute.memory


def in_gb(n_bytes: int) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> in_gb(3_250_000_000)
    '3.2 GB'
    """
    return f"{n_bytes / 1e9:.1f} GB"
