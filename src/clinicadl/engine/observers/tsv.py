"""The table of metrics by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from clinicadl.engine.events import Evaluated, Event, Row, SplitStarted, log_columns
from clinicadl.layouts.maps import folder


class TsvLog:
    """Writes ``training.tsv`` anew after each evaluation: whole, and the same after a resume."""

    def __init__(self) -> None:
        self._start: SplitStarted | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._start = event
            for network, history in event.histories.items():
                self._write(network, history)
        elif isinstance(event, Evaluated):
            self._write(event.network, event.history)

    def _write(self, network: int | None, history: Sequence[Row]) -> None:
        if self._start is not None and history:
            rows = pd.DataFrame([log_columns(row) for row in history])
            folder.write_training_log(self._start.maps, self._start.split, rows, network)
