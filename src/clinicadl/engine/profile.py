"""Where the time of the first batches goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from clinicadl.layouts import tsv
from clinicadl.layouts.files import whole_file, writing

PHASES = ("loading", "transfer", "forward", "backward", "step", "logging")
"""What a batch passes: read, put on the device, computed, computed back, weights changed, told."""
N_SKIPPED, N_WARM_UP, N_RECORDED = 2, 2, 30
"""Batches before anything is looked at, before anything counts, and that count."""
N_SHOWN = 10
"""Of the costliest batches, how many stand in the table."""

T = TypeVar("T")


class Profile:
    """Records the first batches of a split, once, and writes a trace and a table.

    Parameters
    ----------
    folder
        Gets ``trace.json``, which the page chrome://tracing and TensorBoard show, and
        ``steps.tsv``: the seconds of the costliest batches, by phase.
    on_gpu
        Whether there is a GPU to wait for: without it the time of a phase is that of asking.
    """

    def __init__(self, folder: Path, *, on_gpu: bool) -> None:
        self._folder, self._on_gpu = folder, on_gpu
        self._rows: list[dict[str, float]] = []
        self._now = dict.fromkeys(PHASES, 0.0)
        self._n_batches = 0
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        self._recorder: profile | None = profile(
            activities=activities,
            schedule=schedule(wait=N_SKIPPED, warmup=N_WARM_UP, active=N_RECORDED, repeat=1),
            profile_memory=True,
        )
        self._recorder.start()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside the block to a phase."""
        if self._recorder is None:
            yield
            return
        start = time.perf_counter()
        with record_function(name):
            yield
            if self._on_gpu:
                torch.cuda.synchronize()
        self._now[name] += time.perf_counter() - start

    def batch_done(self, epoch: int, batch: int) -> None:
        """Take note that a batch is done; behind the last that counts, write."""
        if self._recorder is None:
            return
        if self._n_batches >= N_SKIPPED + N_WARM_UP:
            self._rows.append({"epoch": epoch, "batch": batch, **self._now})
        self._now = dict.fromkeys(PHASES, 0.0)
        self._n_batches += 1
        self._recorder.step()
        if len(self._rows) == N_RECORDED:
            self.close()

    def close(self) -> None:
        """Write what was recorded, if that was not done yet."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        recorder.stop()
        if not self._rows:
            return
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._folder / "trace.json") as temporary:
                recorder.export_chrome_trace(str(temporary))
        table = pd.DataFrame(self._rows)
        table.insert(2, "total", table[[*PHASES]].sum(axis=1))
        costliest = table.sort_values("total", ascending=False, kind="stable").head(N_SHOWN)
        tsv.write(self._folder / "steps.tsv", costliest.round(6))


def phase(recorder: Profile | None, name: str) -> AbstractContextManager[None]:
    """Return the context that counts to a phase, if anybody counts."""
    return nullcontext() if recorder is None else recorder.phase(name)


def loading(recorder: Profile | None, items: Iterable[T]) -> Iterator[T]:
    """Yield the items; the time until each comes is that of loading."""
    each = iter(items)
    while True:
        with phase(recorder, "loading"):
            item = next(each, None)
        if item is None:
            return
        yield item
