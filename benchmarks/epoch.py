"""An epoch of training from disk: wall time against our own arithmetic on tensors in memory.

Both sides do the same: forward, backward and step for each batch, then all of train and all of
validation in evaluation mode. The floor holds every normalized image in memory already and writes
nothing; ours reads, maps, normalizes, batches, scores, logs, and writes weights and checkpoints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from measure import alone, line

AFFINE = np.array([[1.0, 0, 0, -84], [0, 1, 0, -119], [0, 0, 1, -78], [0, 0, 0, 1]])


def make(folder: Path, shape: tuple[int, ...], n_train: int, n_validation: int) -> None:
    """Write a prepared CAPS with one split."""
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.draws import generator
    from clinicadl.layouts import images

    header = "participant_id\tsession_id\tdiagnosis"
    tables: dict[str, list[str]] = {"train": [header], "validation_baseline": [header]}
    for number in range(n_train + n_validation):
        name = f"sub-B{number:03d}"
        voxels = generator(0, "benchmark", sample=number).random(shape, dtype=np.float32)
        path = folder / "subjects" / name / "ses-M000" / "custom" / f"{name}_ses-M000_T1w.nii.gz"
        images.write(path, voxels, affine=AFFINE)
        row = f"{name}\tses-M000\t{('AD', 'CN')[number % 2]}"
        tables["train" if number < n_train else "validation_baseline"].append(row)
    for name, rows in tables.items():
        (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    suffix = {"name": "custom", "custom_suffix": "T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=folder, preprocessing=suffix, extract_json="bench", n_proc=2)
    )


MODES = {
    "image": {},
    "patch": {"patch_size": 50, "stride_size": 50},
    "roi": {"roi_list": ["left", "right"], "uncropped_roi": False, "roi_custom_template": "B"},
    "networks": {"mode": "patch", "patch_size": 50, "stride_size": 50},
    "slice": {"slice_direction": 2, "slice_mode": "single", "discarded_slices": [60, 70]},
}


def use_mode(folder: Path, mode: str) -> None:
    """Write the extraction of a mode on the same tensors, and the masks of two boxes of 50^3."""
    from clinicadl.layouts import images

    for name, centre in (("left", (61, 96, 68)), ("right", (109, 96, 68))) if mode == "roi" else ():
        box = np.zeros((169, 208, 179), dtype=np.float32)
        box[tuple(slice(at - 25, at + 25) for at in centre)] = 1
        path = folder / "masks" / "tpl-B" / f"tpl-B_roi-{name}_mask.nii.gz"
        images.write(path, box, affine=AFFINE)
    home = folder / "tensor_extraction"
    content = json.loads((home / "bench.json").read_text())
    content |= {"mode": mode, "prepare_dl": False, "extract_json": f"{mode}.json", **MODES[mode]}
    (home / f"{mode}.json").write_text(json.dumps(content))


def measured(
    folder: Path, epochs: int, batch_size: int, n_proc: str, mode: str
) -> dict[str, float]:
    """Time each of our epochs and, right after it, the same arithmetic in memory."""
    from clinicadl import read_experiment, train
    from clinicadl.config.compute import ComputeConfig
    from clinicadl.engine.devices import resolve
    from clinicadl.engine.events import Evaluated, SplitStarted

    compute = {"gpu": False} | ({} if n_proc == "default" else {"n_proc": int(n_proc)})
    config = read_experiment(
        {
            "data": {
                "caps_directory": folder,
                "preprocessing_json": mode,
                "tsv_directory": folder,
            },
            "optimization": {"epochs": epochs, "batch_size": batch_size},
            "compute": compute,
            "multi_network": mode == "networks",
            "network": {"name": "Conv4_FC3" if mode == "networks" else "Conv5_FC3"},
        }
    )
    ours: list[float] = []
    floor: list[float] = []
    by_hand = in_memory(config, resolve(ComputeConfig(gpu=False)))
    next(by_hand)
    began, last = 0.0, None

    def watch(event) -> None:
        nonlocal began, last
        if isinstance(event, SplitStarted):
            began, last = time.perf_counter(), [*event.histories][-1]
        elif isinstance(event, Evaluated) and event.network == last:
            ours.append(time.perf_counter() - began)
            floor.append(next(by_hand))
            began = time.perf_counter()

    with TemporaryDirectory() as output:
        train(config, Path(output) / "maps", observers=[watch])
    # The first epoch warms caches up on both sides.
    return {"ours": median(ours[1:]), "floor": median(floor[1:])}


def in_memory(config, device) -> Iterator[float]:
    """Train another network of the same kind in memory; yield the seconds of each epoch."""
    import torch
    from torch.nn.functional import cross_entropy

    from clinicadl.data import order
    from clinicadl.engine.one_split import first_network
    from clinicadl.engine.plan import plan
    from clinicadl.transforms.pipeline import pipeline

    planned = plan(config)
    stored, one = planned.stored, planned.splits[0]
    transform = pipeline(config.transforms)
    n_parts = len(stored.parts)
    (train_images, train_labels), (validation_images, _) = (
        (
            [
                transform(stored.parts.cut(image, part)).clone()
                for key in zip(table["participant_id"], table["session_id"], strict=True)
                for image in [torch.load(stored.channels[0].files[key][0], weights_only=True)]
                for part in range(n_parts)
            ],
            torch.tensor([
                planned.task.target([value]) for value in table["diagnosis"] for _ in range(n_parts)
            ]),
        )
        for table in (one.train, one.validation)
    )  # fmt: skip
    # One network sees every sample; or each sees every n-th one.
    n_networks = n_parts if config.multi_network else 1
    networks = [
        device.put_network(first_network(planned, f"by hand/{k}", 0)) for k in range(n_networks)
    ]
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=config.optimization.learning_rate)
        for network in networks
    ]
    size = config.optimization.batch_size
    yield 0.0
    for epoch in range(config.optimization.epochs):
        own = range(len(train_images) // n_networks)
        rows = order.shuffled(own, seed=0, purpose="order", epoch=epoch)
        start = time.perf_counter()
        for some in order.in_batches(rows, size):
            for k, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
                network.train()
                seen = [row * n_networks + k for row in some]
                said = network(device.put(torch.stack([train_images[row] for row in seen])))
                loss = cross_entropy(said, train_labels[seen])
                loss.item()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        with torch.inference_mode():
            for images in (train_images, validation_images):
                for k, network in enumerate(networks):
                    network.eval()
                    for some in order.in_batches(range(k, len(images), n_networks), size):
                        network(device.put(torch.stack([images[row] for row in some])))
        yield time.perf_counter() - start


def case(name: str, folder: str, mode: str, *, epochs: int, batch_size: int) -> None:
    """Measure one mode of the images in a folder, and print."""
    use_mode(Path(folder), mode)
    goal = "<= 1.10" if mode == "networks" else "<= 1.05"
    readers = (("default", goal), ("2", "none: readers share the 2 cores"))
    for n_proc, goal in readers if mode == "image" else readers[:1]:
        found = alone(__file__, folder, epochs, batch_size, n_proc, mode)
        line(f"epoch, {name}, n_proc {n_proc}", found["ours"], found["floor"], goal)


def main() -> None:
    """Measure full-size images and their parts, and small images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("child", nargs="*")
    child = parser.parse_args().child
    if child:
        folder, epochs, batch_size, n_proc, mode = child
        found = measured(Path(folder), int(epochs), int(batch_size), n_proc, mode)
        print(json.dumps(found))
        return
    with TemporaryDirectory() as folder:
        make(Path(folder), (42, 52, 44), 80, 16)
        case("96 x 42x52x44, batch 8", folder, "image", epochs=12, batch_size=8)
    with TemporaryDirectory() as folder:
        make(Path(folder), (169, 208, 179), 30, 6)
        case("36 x 169x208x179, batch 2", folder, "image", epochs=4, batch_size=2)
        case("36 x 36 patches of 50^3, batch 32", folder, "patch", epochs=4, batch_size=32)
        case("36 x 36 patches, 36 networks, batch 8", folder, "networks", epochs=4, batch_size=8)
        case("36 x 2 hippocampi of 50^3, batch 8", folder, "roi", epochs=8, batch_size=8)
        case("36 x 49 axial slices, batch 32", folder, "slice", epochs=4, batch_size=32)


if __name__ == "__main__":
    sys.exit(main())
