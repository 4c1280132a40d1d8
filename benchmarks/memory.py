"""Private memory of a process that reads ahead: at most 4 batches more than one that reads nothing.

Counted is what a process alone holds and no file has (``Private_Dirty``): the pages of the mapped
tensors belong to the page cache, and a batch that the parent has taken belongs to the parent.
The network is played by a pause in which the readers come as far ahead as they may.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import alone

SHAPE = (169, 208, 179)
N_IMAGES, N_READERS, N_BATCHES, PAUSE = 8, 2, 60, 0.02
AUGMENTED = {"normalization": "z-score", "augmentation": ["Noise", "Gamma"]}
CASES = {
    "images of 169x208x179, batch 2": ("image", {}, 2, {}),
    "the same, z-score and augmented": ("image", {}, 2, AUGMENTED),
    "patches of 50^3, batch 32": ("patch", {}, 32, {}),
    "axial slices as rgb, batch 32": ("slice", {"slice_direction": 2}, 32, {}),
}
MB = 2**20


def private(pid: int) -> int:
    """Return the bytes that a process holds alone."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty"))


class Peak(threading.Thread):
    """Looks at some processes again and again, and keeps the most that each has held."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self.most = dict.fromkeys(pids, 0)
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for pid in self.most:
                self.most[pid] = max(self.most[pid], private(pid))
            time.sleep(0.001)


def measured(folder: Path, case: str) -> dict[str, float]:
    """Read an epoch, and return what the hungriest reader held, in batches and in MB."""
    import multiprocessing

    import torch

    from clinicadl.config.compute import ComputeConfig
    from clinicadl.config.mode import MODES
    from clinicadl.config.transforms import TransformsConfig
    from clinicadl.data import parts
    from clinicadl.data.dataset import PartDataset
    from clinicadl.data.order import in_batches, shuffled
    from clinicadl.engine import devices
    from clinicadl.transforms.pipeline import augmentation, pipeline

    mode, settings, batch_size, transforms = CASES[case]
    found = parts.of(MODES[mode](**settings), (1, *SHAPE))
    paths = [[[folder / f"{number}.pt"]] for number in range(N_IMAGES)]
    chosen = TransformsConfig(**transforms)
    dataset = PartDataset(
        paths, [0] * N_IMAGES, found, pipeline(chosen), augment=augmentation(chosen, seed=0)
    )
    device = devices.resolve(ComputeConfig(gpu=False))
    loader = device.loader(dataset, N_READERS)
    # The readers start, and have nothing to read.
    assert list(loader([])) == []
    time.sleep(1)
    pids = [process.pid for process in multiprocessing.active_children()]
    assert len(pids) == N_READERS
    base = {pid: private(pid) for pid in pids}
    rows = [i % (N_IMAGES * len(found)) for i in range(N_BATCHES * batch_size)]
    order = in_batches(shuffled(rows, seed=0, purpose="benchmark", epoch=0), batch_size)
    peak = Peak(pids)
    peak.start()
    for batch in loader(order, epoch=0):
        n_bytes = batch.images.nbytes
        torch.mean(batch.images)
        time.sleep(PAUSE)
    peak.done.set()
    peak.join()
    more = max(peak.most[pid] - base[pid] for pid in pids)
    return {"batches": more / n_bytes, "more": more / MB, "batch": n_bytes / MB}


def main() -> None:
    """Write some tensors, and print each case."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]), sys.argv[2])))
        return
    from clinicadl.data import tensors
    from clinicadl.draws import generator

    with TemporaryDirectory() as name:
        for number in range(N_IMAGES):
            voxels = generator(0, "benchmark", sample=number).random(SHAPE, dtype=np.float32)
            tensors.write(Path(name) / f"{number}.pt", voxels)
        # Pages that are not on the disk yet would count as private.
        os.sync()
        for case in CASES:
            said = alone(__file__, name, case)
            print(
                f"a reader, {case:<40} {said['more']:7.1f} MB more, a batch {said['batch']:6.1f} MB"
                f"  batches {said['batches']:5.2f}  goal <= 4"
            )


if __name__ == "__main__":
    main()
