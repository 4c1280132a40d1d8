"""TensorBoard's events of train and validation."""

from __future__ import annotations

from typing import Any

from clinicadl.engine.events import (
    Evaluated,
    Event,
    Row,
    SplitEnded,
    SplitInterrupted,
    SplitStarted,
)
from clinicadl.layouts.maps import names


class TensorBoardLog:
    """Writes scalars named as the metrics; the step is the number of weight updates."""

    def __init__(self) -> None:
        self._writers: dict[tuple[int | None, str], Any] = {}
        self._per_epoch = 0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._open(event)
        elif isinstance(event, Evaluated):
            self._write(event.row, event.network)
        elif isinstance(event, SplitEnded | SplitInterrupted):
            writers, self._writers = self._writers, {}
            for writer in writers.values():
                writer.close()

    def _open(self, event: SplitStarted) -> None:
        from tensorboardX import SummaryWriter

        self._per_epoch = event.updates_per_epoch
        for network, history in event.histories.items():
            for part in names.OWN_GROUPS:
                folder = names.tensorboard(event.maps, event.split, part, network)
                # The writer works in the background: what it had not written when the run was
                # killed is lost. So a resumed run voids all that is there and says its history
                # again, in a file of its own (the default name changes once a second only).
                self._writers[network, part] = SummaryWriter(
                    str(folder),
                    purge_step=0 if folder.exists() else None,
                    filename_suffix=f".from-epoch-{event.first_epoch}",
                )
            for row in history:
                self._write(row, network)

    def _write(self, row: Row, network: int | None) -> None:
        step = row.epoch * self._per_epoch + row.iteration
        for part, scores in ((names.TRAIN, row.train), (names.VALIDATION, row.validation)):
            for name, value in scores.items():
                self._writers[network, part].add_scalar(name, value, step)
