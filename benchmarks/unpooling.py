"""Pooling and unpooling of an autoencoder, forward and backward, against PyTorch on padded maps."""

from __future__ import annotations

import sys
import time

from measure import interleaved, line

SHAPE = (1, 8, 169, 208, 179)
ROUNDS = 15


def measure(layout) -> None:
    """Measure the maps of the first block of AE_Conv5_FC3 in one layout."""
    import torch
    import torch.nn.functional as F

    from clinicadl.networks.layers import pool_with_places, unpool

    odd = [size % 2 for size in SHAPE[2:]]
    low_sides = [side for one in reversed(odd) for side in (one, 0)]
    cropped = (..., *(slice(one, None) for one in odd))
    maps = torch.rand(SHAPE).contiguous(memory_format=layout).requires_grad_()
    padded = F.pad(maps.detach(), low_sides)
    indices = F.max_pool3d(padded, 2, 2, return_indices=True)[1]
    values, places = pool_with_places(maps.detach())
    values.requires_grad_()
    of_maps, of_values = torch.rand_like(maps), torch.rand_like(values)

    def pooling() -> float:
        start = time.perf_counter()
        torch.autograd.grad(pool_with_places(maps)[0], maps, of_values)
        return time.perf_counter() - start

    def pooling_by_torch() -> float:
        start = time.perf_counter()
        torch.autograd.grad(F.max_pool3d(F.pad(maps, low_sides), 2, 2), maps, of_values)
        return time.perf_counter() - start

    def unpooling() -> float:
        start = time.perf_counter()
        torch.autograd.grad(unpool(values, places), values, of_maps)
        return time.perf_counter() - start

    def unpooling_by_torch() -> float:
        start = time.perf_counter()
        made = F.max_unpool3d(values, indices, 2, 2, output_size=padded.shape[2:])
        torch.autograd.grad(made[cropped], values, of_maps)
        return time.perf_counter() - start

    name = str(layout).removeprefix("torch.")
    line(f"pooling, {name}", *interleaved(pooling, pooling_by_torch, rounds=ROUNDS), "<= 1")
    line(f"unpooling, {name}", *interleaved(unpooling, unpooling_by_torch, rounds=ROUNDS), "<= 1")


def main() -> None:
    """Measure both layouts, with freed memory kept as in a training."""
    import torch

    from clinicadl.config.compute import ComputeConfig
    from clinicadl.engine.devices import memory, resolve

    with memory("fast", resolve(ComputeConfig(gpu=False))):
        for layout in (torch.channels_last_3d, torch.contiguous_format):
            measure(layout)


if __name__ == "__main__":
    sys.exit(main())
