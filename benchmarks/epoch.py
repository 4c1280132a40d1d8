"""An epoch of training from disk: wall time against our own arithmetic on tensors in memory.

Both sides do the same: forward, backward and step for each batch, then all of train and all of
validation in evaluation mode. The floor holds every normalized image in memory already and writes
nothing; ours reads, maps, normalizes, batches, scores, logs, and writes its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from measure import alone, line, peak_memory_gb

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


def measured(folder: Path, epochs: int, batch_size: int, n_proc: int) -> dict[str, float]:
    """Time our epochs, then the same arithmetic in memory, in one process."""
    import torch

    from clinicadl import read_experiment
    from clinicadl.data.batches import Batch
    from clinicadl.data.dataset import Sample
    from clinicadl.engine import loop
    from clinicadl.engine.devices import memory
    from clinicadl.engine.events import Evaluated, SplitStarted
    from clinicadl.engine.one_split import _begin, _training
    from clinicadl.engine.plan import plan
    from clinicadl.engine.train import train

    config = read_experiment(
        {
            "data": {
                "caps_directory": folder,
                "preprocessing_json": "bench",
                "tsv_directory": folder,
            },
            "optimization": {"epochs": epochs, "batch_size": batch_size},
            "compute": {"n_proc": n_proc, "gpu": False},
        }
    )
    rows = []
    with TemporaryDirectory() as output:
        stamps = []

        def watch(event) -> None:
            if isinstance(event, Evaluated | SplitStarted):
                stamps.append(time.perf_counter())

        train(config, Path(output) / "maps", observers=[watch])
        rows = np.diff(stamps).tolist()
        ours_memory = peak_memory_gb()

        planned = plan(config)
        training = _training(planned, planned.splits[0], Path(output) / "floor")
        with memory("fast", planned.device):
            learner, _ = _begin(planned, training)
            dataset = training.loader._loader.dataset
            samples: list[Sample] = [dataset[i] for i in range(len(dataset))]
            floor = []
            for epoch in range(epochs):
                batches = [
                    Batch(
                        torch.stack([samples[i].image for i in some]),
                        torch.tensor([samples[i].target for i in some]),
                        some,
                    )
                    for some in loop.in_order(training, epoch)
                ]
                start = time.perf_counter()
                learner.network.train()
                for number, batch in enumerate(batches):
                    loop._backward(training, learner, batch, epoch, number, 1)
                    learner.optimizer.step()
                    learner.optimizer.zero_grad()
                learner.network.eval()
                with torch.inference_mode():
                    for some in (training.train, training.validation):
                        for first in range(0, len(some), batch_size):
                            images = [samples[i].image for i in some[first : first + batch_size]]
                            learner.network(planned.device.put(torch.stack(images)))
                floor.append(time.perf_counter() - start)
    # The first epoch warms caches up on both sides.
    return {
        "ours": median(rows[1:]),
        "floor": median(floor[1:]),
        "memory": ours_memory,
    }


def case(name: str, shape: tuple[int, ...], n_train: int, n_validation: int, **how: int) -> None:
    """Measure one size, and print."""
    with TemporaryDirectory() as folder:
        make(Path(folder), shape, n_train, n_validation)
        found = alone(__file__, folder, how["epochs"], how["batch_size"], how["n_proc"])
    line(f"epoch, Conv5_FC3, {name}", found["ours"], found["floor"], "<= 1.05")
    print(f"  peak memory of the training process: {found['memory']:.2f} GB")


def main() -> None:
    """Measure a full-size and a small case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("child", nargs="*")
    child = parser.parse_args().child
    if child:
        folder, epochs, batch_size, n_proc = child
        print(json.dumps(measured(Path(folder), int(epochs), int(batch_size), int(n_proc))))
        return
    small = (42, 52, 44)
    case("96 images of 42x52x44, batch 8", small, 80, 16, epochs=4, batch_size=8, n_proc=2)
    full = (169, 208, 179)
    case("36 images of 169x208x179, batch 2", full, 30, 6, epochs=2, batch_size=2, n_proc=2)


if __name__ == "__main__":
    sys.exit(main())
