"""Weights that are divided among the processes that train together [1]_.

Each process holds a share of the weights, of their gradients and of what the optimizer keeps; a
block's weights are gathered while it computes. This is PyTorch's FSDP2.

References
----------
.. [1] Y. Zhao et al., PyTorch FSDP: experiences on scaling fully sharded data parallel, VLDB 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from clinicadl.networks.recompute import blocks


def outline(network: nn.Module) -> nn.Module:
    """Return a copy of a network that is not divided yet, whose weights cost no memory."""
    empty = {
        id(weight): nn.Parameter(weight.to("meta"), weight.requires_grad)
        for weight in network.parameters()
    }
    return deepcopy(network, empty)


def divide(network: nn.Module, n_shards: int) -> None:
    """Divide the weights of a network among all processes, each of its blocks on its own.

    Gradients are then sums over the processes, and each process gets its share of them.

    Parameters
    ----------
    network
        On its device, the same in every process; changed in place.
    n_shards
        Number of processes.
    """
    weights = [*network.parameters()]
    for weight in weights:
        weight.data = weight.data.contiguous()
    mesh = init_device_mesh(weights[0].device.type, (n_shards,))
    for module in (*blocks(network), network):
        if any(True for _ in module.parameters()):
            divided: FSDPModule = fully_shard(module, mesh=mesh, reshard_after_forward=True)
            # Sums: losses are weighed by what they hold of a batch already.
            divided.set_gradient_divide_factor(1.0)
            divided.set_force_sum_reduction_for_comms(True)


def whole(network: nn.Module, empty: nn.Module) -> nn.Module:
    """Return a copy of a divided network with all its weights in this process.

    Parameters
    ----------
    network
        All processes have to give theirs.
    empty
        Its `outline`.
    """
    made = deepcopy(empty)
    tensors = {name: full(tensor) for name, tensor in network.state_dict().items()}
    made.load_state_dict(tensors, assign=True)
    return made


def gathered(tensors: Mapping[str, Tensor], *, keeps: bool) -> dict[str, Tensor]:
    """Return tensors with all that the processes have of them, where they are kept.

    Parameters
    ----------
    tensors
        All processes have to give theirs, in one order; what is divided is returned on the CPU.
    keeps
        Whether this process gets them; others hold one at a time.
    """
    found = {}
    for name, tensor in tensors.items():
        together = full(tensor)
        if keeps:
            found[name] = together.cpu() if is_divided(tensor) else together
    return found


def full(tensor: Tensor) -> Tensor:
    """Return a tensor with all that the processes have of it; all processes have to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return what this process holds of a whole tensor, where another like it is divided."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    on_device = tensor.to(other.device)
    # Every process has the whole: nothing is sent.
    return distribute_tensor(on_device, other.device_mesh, other.placements, src_data_rank=None)


def is_divided(weight: Tensor) -> bool:
    """Return whether processes share a weight."""
    return isinstance(weight, DTensor)
