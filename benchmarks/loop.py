"""What the loop costs: a step against a bare one, and an epoch against a good person's own loop.

Of the step, both sides have the same network, layout, allocator and tensors in memory: what is
left is what our loop does around them. Of the epoch, the other side is the script that a careful
researcher would write in an afternoon: a `Dataset` that loads and normalizes tensors, a
`DataLoader`, Adam, an evaluation of train and validation, the best weights and the last state
saved. What our checkpoints, best weights and logs take of our epoch is counted in the same run.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from epoch import make, use_mode
from measure import alone, interleaved, line

ROUNDS = 8
EPOCHS = {"42x52x44": 20, "84x104x89": 5}
"""The first is the default."""


def experiment(folder: Path, epochs: int):
    """Return what is trained."""
    from clinicadl import read_experiment

    return read_experiment(
        {
            "data": {
                "caps_directory": folder, "preprocessing_json": "image", "tsv_directory": folder,
            },
            "optimization": {"epochs": epochs, "batch_size": 8},
            "compute": {"gpu": False},
        }
    )  # fmt: skip


def steps(folder: Path, n_epochs: int = 1) -> dict[str, float]:
    """Return the seconds of a step in our loop, and of the bare one."""
    import torch
    from torch.nn.functional import cross_entropy

    from clinicadl import train
    from clinicadl.engine import loop

    original, found = loop.fit, []

    def measured(training, learners, start):
        batches = [*training.loader(loop.in_order(training, 0))]
        held = {tuple(batch.rows): batch for batch in batches}

        def in_memory(wanted, epoch=0):
            return (held[tuple(rows)] for rows in wanted)

        fed = replace(training, loader=in_memory)
        network = deepcopy(learners[None].network)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)

        def ours() -> float:
            begun = time.perf_counter()
            for _ in loop.train_epoch(fed, learners, 0):
                pass
            return time.perf_counter() - begun

        def bare() -> float:
            begun = time.perf_counter()
            network.train()
            for batch in batches:
                images = training.device.put(batch.images)
                loss = cross_entropy(network(images), batch.targets)
                loss.item()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            return time.perf_counter() - begun

        ours(), bare()
        found.extend(time / len(batches) for time in interleaved(ours, bare, rounds=ROUNDS))
        return (yield from original(training, learners, start))

    loop.fit = measured
    with TemporaryDirectory() as output:
        train(experiment(folder, n_epochs), Path(output) / "maps")
    return {"ours": found[0], "floor": found[1]}


def epochs(folder: Path, n_epochs: int) -> dict[str, float]:
    """Return the seconds of an epoch of ours, and its shares of logs, best weights, checkpoints."""
    from clinicadl import train
    from clinicadl.engine import loop, state, watch
    from clinicadl.engine.events import Evaluated, SplitStarted
    from clinicadl.networks import weights

    spent: dict[str, float] = defaultdict(float)
    times: list[float] = []
    learning, began = False, 0.0

    def counted(name: str, function):
        def timed(*arguments, **named):
            begun, before = time.perf_counter(), sum(spent.values())
            result = function(*arguments, **named)
            # Of a checkpoint, writing is counted once.
            nested = sum(spent.values()) - before
            spent[name] += (time.perf_counter() - begun - nested) * learning
            return result

        return timed

    state.save = counted("checkpoints", state.save)
    weights.write = counted("best weights", weights.write)
    loop._judged_best = counted("best weights", loop._judged_best)
    watch.Watchers.tell = counted("logs", watch.Watchers.tell)

    def watched(event) -> None:
        nonlocal learning, began
        if isinstance(event, SplitStarted):
            learning, began = True, time.perf_counter()
        elif isinstance(event, Evaluated):
            times.append(time.perf_counter() - began)
            began = time.perf_counter()
            learning = len(times) < n_epochs

    with TemporaryDirectory() as output:
        train(experiment(folder, n_epochs), Path(output) / "maps", observers=[watched])
    return {"epoch": median(times[1:]), **{name: t / sum(times) for name, t in spent.items()}}


def by_hand(folder: Path, n_epochs: int) -> dict[str, float]:
    """Train as a careful person would by hand, and return the seconds of an epoch."""
    import pandas as pd
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from clinicadl.config.network import Conv5FC3

    class Images(Dataset):
        def __init__(self, table: Path) -> None:
            self.rows = pd.read_csv(table, sep="\t")

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int):
            row = self.rows.iloc[index]
            name = f"{row.participant_id}_{row.session_id}"
            home = folder / "subjects" / row.participant_id / row.session_id
            (path,) = home.rglob(f"{name}*.pt")
            image = torch.load(path, weights_only=True).float()
            image = (image - image.min()) / (image.max() - image.min())
            return image, int(row.diagnosis == "CN")

    train, validation = (Images(folder / f"{n}.tsv") for n in ("train", "validation_baseline"))
    shape = tuple(train[0][0].shape)
    network = Conv5FC3().build(shape, 2)
    optimizer, cost = torch.optim.Adam(network.parameters(), lr=1e-4), nn.CrossEntropyLoss()
    best, times = float("inf"), []
    with TemporaryDirectory() as output:
        for _ in range(n_epochs):
            begun = time.perf_counter()
            network.train()
            for images, labels in DataLoader(train, batch_size=8, shuffle=True):
                optimizer.zero_grad()
                cost(network(images), labels).backward()
                optimizer.step()
            network.eval()
            losses = []
            with torch.inference_mode():
                for group in (train, validation):
                    said = [(network(images), labels) for images, labels in DataLoader(group, 8)]
                    outputs, labels = (torch.cat(some) for some in zip(*said, strict=True))
                    losses.append(cost(outputs, labels).item())
            if losses[1] < best:
                best = losses[1]
                torch.save(network.state_dict(), Path(output) / "best.pt")
            torch.save([network.state_dict(), optimizer.state_dict()], Path(output) / "last.pt")
            times.append(time.perf_counter() - begun)
    return {"epoch": median(times[1:])}


def main() -> None:
    """Measure, and print."""
    if len(sys.argv) > 1:
        side, folder, n_epochs = sys.argv[1:]
        way = {"steps": steps, "epochs": epochs, "by_hand": by_hand}[side]
        print(json.dumps(way(Path(folder), int(n_epochs))))
        return
    for shape, name in (((42, 52, 44), "42x52x44"), ((84, 104, 89), "84x104x89")):
        with TemporaryDirectory() as folder:
            make(Path(folder), shape, 80, 16)
            use_mode(Path(folder), "image")
            step = alone(__file__, "steps", folder, 1)
            line(f"step in the loop, {name}, batch 8", step["ours"], step["floor"], "<= 1.03")
            ours, floor = (
                alone(__file__, side, folder, EPOCHS[name]) for side in ("epochs", "by_hand")
            )
            name_ = f"epoch, 96 x {name}, against a loop by hand"
            line(name_, ours["epoch"], floor["epoch"], "below 1")
            for what in ("logs", "best weights", "checkpoints"):
                print(f"{f'{what}, of an epoch of {name}':<58} {ours[what]:9.2%}   goal <= 1 %")


if __name__ == "__main__":
    main()
