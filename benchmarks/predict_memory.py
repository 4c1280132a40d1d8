"""Peak memory of predict on N and on 4 N images: what is read and given back is let go.

Counted is all that the process holds (``VmHWM``), the mapped pages of the tensors too. The heap of
a network that is evaluated again and again grows a little, and stops; one more copy of each image
would make the ratio 1.2 and more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import alone, line

SHAPE = (96, 96, 96)
N_TRAINED, N_FEW, N_MANY = 8, 16, 64
SUFFIX = "desc-Noise_T1w.nii.gz"
CASES = {
    "classification": {},
    "reconstruction": {},
    "reconstruction, all files kept": {
        "save_tensor": True, "save_nifti": True, "save_latent_tensor": True,
    },
}  # fmt: skip
NETWORKS = {"classification": "Conv4_FC3", "reconstruction": "AE_Conv4_FC3"}
MB = 2**20


def lay(folder: Path) -> None:
    """Write a prepared CAPS, its tables, and a MAPS of each task."""
    from clinicadl import PrepareConfig, prepare_data, read_experiment, train
    from clinicadl.draws import generator
    from clinicadl.layouts import images

    people = [f"sub-{number:03d}" for number in range(N_TRAINED + N_MANY)]
    caps = folder / "caps"
    for number, who in enumerate(people):
        voxels = generator(0, "benchmark", sample=number).random(SHAPE, dtype=np.float32)
        path = caps / "subjects" / who / "ses-M000" / "custom" / f"{who}_ses-M000_{SUFFIX}"
        images.write(path, voxels, affine=np.eye(4))
    rows = [f"{who}\tses-M000\t{'AD' if i % 2 else 'CN'}" for i, who in enumerate(people)]
    half, unseen = N_TRAINED // 2, rows[N_TRAINED:]
    tables = {
        "tables/train.tsv": rows[:half],
        "tables/validation_baseline.tsv": rows[half:N_TRAINED],
        "few.tsv": unseen[:N_FEW],
        "many.tsv": unseen,
    }
    for name, some in tables.items():
        (folder / name).parent.mkdir(exist_ok=True)
        header = "participant_id\tsession_id\tdiagnosis"
        (folder / name).write_text("\n".join([header, *some]) + "\n")
    suffix = {"name": "custom", "custom_suffix": SUFFIX}
    prepare_data(PrepareConfig(caps_directory=caps, preprocessing=suffix, extract_json="all"))
    for task, network in NETWORKS.items():
        quick = {
            "data": {
                "caps_directory": caps, "preprocessing_json": "all",
                "tsv_directory": folder / "tables",
            },
            "task": {"name": task},
            "network": {"name": network},
            "optimization": {"epochs": 1, "batch_size": 2},
            "compute": {"n_proc": 0, "gpu": False},
        }  # fmt: skip
        train(read_experiment(quick), folder / task)


def measured(folder: Path, case: str, table: str) -> dict[str, float]:
    """Evaluate, and return the most memory that this process has held, in MB."""
    import torch

    from clinicadl import PredictConfig, predict

    # Each thread has memory of its own, and how much of it they touch is a matter of chance.
    torch.set_num_threads(1)
    config = PredictConfig(
        caps_directory=folder / "caps", participants_tsv=folder / f"{table}.tsv", batch_size=2,
        n_proc=0, gpu=False, overwrite=True, **CASES[case],
    )  # fmt: skip
    predict(config, folder / case.partition(",")[0], table)
    rows = Path("/proc/self/status").read_text().splitlines()
    return {"peak": int(next(row for row in rows if row.startswith("VmHWM")).split()[1]) / 1024}


def main() -> None:
    """Print the peak with many images against that with few."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]), *sys.argv[2:])))
        return
    with TemporaryDirectory() as name:
        lay(Path(name))
        for case in CASES:
            few, many = (alone(__file__, name, case, table)["peak"] for table in ("few", "many"))
            what = f"predict {N_MANY} and {N_FEW} images, {case}"
            line(what, many, few, "<= 1.15", unit="MB")


if __name__ == "__main__":
    main()
