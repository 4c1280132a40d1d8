"""A training step of Conv5_FC3 on a volume of full size: ours against plain PyTorch.

Each side runs in a process of its own, since the settings of the allocator belong to one. The floor
is what a person would write: the same layers from torch.nn, contiguous tensors, the allocator as it
comes. Ours is the engine's own network, device, memory setting, loss and optimizer.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median

from measure import alone, interleaved, line, peak_memory_gb

SHAPE = (1, 169, 208, 179)
BATCH, STEPS = 2, 4


def plain() -> dict[str, float]:
    """Time the floor: zero padding and pooling as the reference says, written with torch.nn."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Pool(nn.Module):
        def forward(self, maps):
            pads = [side for size in reversed(maps.shape[2:]) for side in (size % 2, 0)]
            return F.max_pool3d(F.pad(maps, pads), 2, 2)

    layers, given = [], 1
    for made in (8, 16, 32, 64, 128):
        layers += [nn.Conv3d(given, made, 3, padding=1), nn.BatchNorm3d(made), nn.ReLU(), Pool()]
        given = made
    head = [nn.Linear(32256, 1300), nn.ReLU(), nn.Linear(1300, 50), nn.ReLU(), nn.Linear(50, 2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.0), *head)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)
    images = torch.rand(BATCH, *SHAPE)
    targets = torch.tensor([0, 1])

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), targets).backward()
        optimizer.step()

    return timed(step)


def ours(side: str) -> dict[str, float]:
    """Time the engine's own pieces."""
    import torch
    from torch.nn.utils import get_total_norm

    from clinicadl.config.compute import ComputeConfig
    from clinicadl.config.network import Conv5FC3
    from clinicadl.config.optimization import OptimizationConfig
    from clinicadl.config.task import Classification
    from clinicadl.engine import devices
    from clinicadl.engine.optimizers import optimizer
    from clinicadl.networks.streams import seeded

    device = devices.resolve(ComputeConfig(gpu=False, compile=side == "compiled"))
    task = Classification().build({"AD": 0, "CN": 1})
    with devices.memory("lean" if side == "lean" else "fast", device):
        network = device.put_network(Conv5FC3().build(SHAPE, 2)).train()
        learning = optimizer(OptimizationConfig(), network)
        images = torch.rand(BATCH, *SHAPE)
        targets = torch.tensor([0, 1])

        def step() -> None:
            learning.zero_grad()
            with seeded(0, "benchmark"):
                given = device.put(images)
                task.losses(network(given), given, targets)["loss"].mean().backward()
            norm = get_total_norm([weight.grad for weight in network.parameters()])
            assert torch.isfinite(norm)
            learning.step()

        return timed(step)


def timed(step) -> dict[str, float]:
    """Return the median time of a step after two to warm up, and the peak memory."""
    for _ in range(2):
        step()
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"seconds": median(times), "memory": peak_memory_gb()}


def main() -> None:
    """Run both sides in turn, and print."""
    results: dict[str, list[dict[str, float]]] = {
        side: [] for side in ("fast", "compiled", "lean", "plain")
    }

    def once(side: str):
        def run() -> float:
            results[side].append(alone(__file__, side))
            return results[side][-1]["seconds"]

        return run

    fast, floor = interleaved(once("fast"), once("plain"), rounds=2)
    lean, compiled = once("lean")(), once("compiled")()
    line("training step, Conv5_FC3 1x169x208x179, batch 2 (fast)", fast, floor, "<= 0.45")
    line("the same with --compile", compiled, floor, "<= 0.36")
    line("training step, Conv5_FC3 1x169x208x179, batch 2 (lean)", lean, floor, "none")
    for side in ("fast", "compiled", "lean"):
        line(
            f"peak memory of these steps ({side})",
            max(result["memory"] for result in results[side]),
            max(result["memory"] for result in results["plain"]),
            "none",
            unit="GB",
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        side = sys.argv[1]
        print(json.dumps(plain() if side == "plain" else ours(side)))
    else:
        main()
