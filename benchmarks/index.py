"""A CAPS of many sessions, from its folders to the samples of an experiment: linear in sessions.

``index.py [SESSIONS ...]``: the numbers of sessions, from few to many (default 1,000 and 10,000).
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pandas as pd
from measure import line

END = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w"
SHAPE = (1, 4, 4, 4)
AFFINE = [[1.0, 0, 0, -2], [0, 1, 0, -2], [0, 0, 1, -2], [0, 0, 0, 1]]
LINEAR = 1.3
"""How much more a session may cost among many than among few."""


def make(folder: Path, n_sessions: int) -> Path:
    """Write a CAPS of empty images, each beside its tensor, two sessions a participant."""
    from clinicadl.data import tensors

    size = tensors.n_bytes(SHAPE)
    for number in range(n_sessions):
        participant, session = f"sub-{number // 2:06d}", f"ses-M{number % 2 * 12:03d}"
        below = f"subjects/{participant}/{session}"
        name = f"{participant}_{session}_{END}"
        home = folder / below / "deeplearning_prepare_data/image_based/t1_linear"
        home.mkdir(parents=True)
        source = f"{below}/t1_linear/{name}.nii.gz"
        (folder / source).parent.mkdir()
        (folder / source).touch()
        with (home / f"{name}.pt").open("wb") as tensor:
            tensor.truncate(size)
        origin = {
            "source": source, "sha256": f"{number:064x}", "n_bytes": 0,
            "mtime_ns": (folder / source).stat().st_mtime_ns, "shape": SHAPE, "affine": AFFINE,
        }  # fmt: skip
        (home / f"{name}.json").write_text(json.dumps(origin))
    extraction = {"preprocessing": "t1-linear", "mode": "slice", "slice_direction": 0}
    (folder / "tensor_extraction").mkdir()
    (folder / "tensor_extraction/bench.json").write_text(json.dumps(extraction))
    return folder


def glob(caps: Path, n_sessions: int) -> float:
    """Return the time of the floor: one recursive glob a participant."""
    start = time.perf_counter()
    found = [
        path
        for participant in sorted((caps / "subjects").iterdir())
        for path in participant.glob(f"*/**/*{END}.nii.gz")
    ]
    assert len(found) == n_sessions
    return time.perf_counter() - start


def seconds(caps: Path, n_sessions: int) -> dict[str, float]:
    """Return the median time of each step from the folders to the samples."""
    from clinicadl.config.preprocessing import T1Linear
    from clinicadl.config.transforms import TransformsConfig
    from clinicadl.engine.stored import prepared
    from clinicadl.layouts.caps import index, read_extraction
    from clinicadl.tables import sessions
    from clinicadl.transforms.pipeline import pipeline

    table = pd.DataFrame(
        sorted(index(caps, T1Linear())), columns=[sessions.PARTICIPANT, sessions.SESSION]
    ).assign(cohort="single")
    path = caps / "table.tsv"
    sessions.write(path, table)
    extraction = read_extraction(caps, "bench")
    times: dict[str, list[float]] = {}

    def timed(name: str, function):
        gc.collect()
        start = time.perf_counter()
        result = function()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    def samples_of(stored, rows, transform):
        return stored.samples(rows), stored.dataset(rows, [0] * len(rows), transform)

    for _ in range(3):
        assert len(timed("index", partial(index, caps, T1Linear()))) == n_sessions
        rows = timed("table of sessions", partial(sessions.read, path))
        stored = timed(
            "tensors and their origins",
            partial(prepared, {"single": caps}, [extraction], rows.assign(cohort="single")),
        )
        transform = pipeline(TransformsConfig())
        samples, data = timed(
            "samples",
            partial(samples_of, stored, rows, transform),
        )
        assert len(samples) == len(data) == SHAPE[1] * n_sessions
    return {name: median(some) for name, some in times.items()}


def main() -> None:
    """Print the index against a glob's, and what a session costs among many and among few."""
    from clinicadl.cli.main import collect_rarely

    collect_rarely()
    few, *more = [int(word) for word in sys.argv[1:]] or [1_000, 10_000]
    found: dict[int, dict[str, float]] = {}
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        for n_sessions in (few, *more):
            caps = make(Path(name) / str(n_sessions), n_sessions)
            found[n_sessions] = seconds(caps, n_sessions)
            if n_sessions <= 10_000 and n_sessions != few:
                floor = glob(caps, n_sessions)
                what = f"index of {n_sessions:,} sessions, against a glob"
                line(what, found[n_sessions]["index"], floor, "<= 2 s of 10,000")
            shutil.rmtree(caps)
    for n_sessions in more:
        for step, time_of_few in found[few].items():
            ours, floor = 1e6 * found[n_sessions][step] / n_sessions, 1e6 * time_of_few / few
            what = f"a session in {step}, {n_sessions:,} against {few:,}"
            line(what, ours, floor, f"<= {LINEAR}", unit="us")


if __name__ == "__main__":
    main()
