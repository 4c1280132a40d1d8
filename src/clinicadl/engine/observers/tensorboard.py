"""TensorBoard's events of train and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinicadl.engine.events import Evaluated, Event, SplitEnded, SplitStarted
from clinicadl.layouts.maps import names


class TensorBoardLog:
    """Writes scalars named as the metrics; the step is the number of weight updates."""

    def __init__(self) -> None:
        self._writers: dict[str, Any] = {}
        self._per_epoch = 0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._open(event)
        elif isinstance(event, Evaluated):
            step = event.row.epoch * self._per_epoch + event.row.iteration
            self._write(names.TRAIN, event.row.train, step)
            self._write(names.VALIDATION, event.row.validation, step)
        elif isinstance(event, SplitEnded):
            for writer in self._writers.values():
                writer.close()

    def _open(self, event: SplitStarted) -> None:
        from tensorboardX import SummaryWriter

        self._per_epoch = event.updates_per_epoch
        # What an interrupted epoch had written is void: it is done again.
        first = event.first_epoch * event.updates_per_epoch + 1
        for part in names.OWN_GROUPS:
            folder = names.tensorboard(event.maps, event.split, part)
            purge = first if folder.exists() else None
            self._writers[part] = SummaryWriter(str(folder), purge_step=purge)

    def _write(self, part: str, scores: Mapping[str, float], step: int) -> None:
        for name, value in scores.items():
            self._writers[part].add_scalar(name, value, step)
        self._writers[part].flush()
