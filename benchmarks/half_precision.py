"""A training step on a GPU in full and in half precision, plain, channels last and translated."""

from __future__ import annotations

import json
import sys
import time
from itertools import product
from statistics import median

from measure import alone, line

SHAPE, BATCH, STEPS = (1, 169, 208, 179), 8, 20


def measured(name: str, amp: str, last: bool, compiles: bool) -> dict[str, float]:
    """Return the seconds of a step and the memory that it takes, in GB."""
    import torch

    from clinicadl.config.compute import ComputeConfig
    from clinicadl.config.network import NETWORKS
    from clinicadl.config.task import Classification
    from clinicadl.engine import devices

    device = devices.resolve(ComputeConfig(gpu=True, amp=amp, channels_last=last, compile=compiles))
    task = Classification().build({"AD": 0, "CN": 1})
    network = device.put_network(NETWORKS[name]().build(SHAPE, 2)).train()
    optimizer, scaler = torch.optim.Adam(network.parameters(), lr=1e-4), device.scaler()
    images = device.put(torch.rand(BATCH, *SHAPE))
    targets = torch.tensor([0, 1] * (BATCH // 2), device="cuda")
    times = []
    for _ in range(STEPS):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        with device.autocast():
            loss = task.losses(network(images), images, targets)["loss"].mean()
        (loss if scaler is None else scaler.scale(loss)).backward()
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return {"step": median(times[5:]), "memory": torch.cuda.max_memory_allocated() / 1e9}


def main() -> None:
    """Measure every way, and print."""
    if len(sys.argv) > 1:
        name, amp, last, compiles = sys.argv[1:]
        print(json.dumps(measured(name, amp, last == "True", compiles == "True")))
        return
    import torch

    if not torch.cuda.is_available():
        print("not measured: there is no GPU")
        return
    for name in ("Conv5_FC3", "ResNet18_3D"):
        plain = alone(__file__, name, "no", False, False)
        for amp, last, compiles in product(("no", "bf16", "fp16"), (False, True), (False, True)):
            found = alone(__file__, name, amp, last, compiles)
            ways = ("", ", channels last")[last] + ("", ", translated")[compiles]
            line(f"step of {name}, {amp}{ways}", found["step"], plain["step"], "<= 0.6 with amp")
            line("its memory", found["memory"], plain["memory"], "none", unit="GB")


if __name__ == "__main__":
    main()
